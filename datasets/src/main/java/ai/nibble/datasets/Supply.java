package ai.nibble.datasets;

import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.function.Supplier;

/**
 * Values by kind: from word lists, made of syllables, or numbers. Values that are copied out of a
 * request (names, cities, products, titles, labels …) keep to one {@link Split}; days, rooms,
 * colours and numbers belong to all.
 */
final class Supply {
  private static final String[] ONSETS =
      ("b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr kl kr pl pr qu sh sk sl sm sn"
              + " sp st str sw th tr tw")
          .split(" ");
  private static final String[] VOWELS = "a e i o u a e i o u ai ea ee ia io oa oo ou y".split(" ");
  private static final String[] CODAS =
      "n r l s t m k d n r l x th sk nd rt lm ng ck st rn p ss".split(" ");
  private static final String[] CITY_ENDS =
      "ton ville berg ford burg ham stad field haven mouth bridge port by wick dale minster"
          .split(" ");

  private final Random random;
  private final Split split;
  private final Lexicon lexicon;
  private final double made;

  /**
   * @param made share of names, cities and the like that are made of syllables
   */
  Supply(Random random, Split split, Lexicon lexicon, double made) {
    this.random = random;
    this.split = split;
    this.lexicon = lexicon;
    this.made = made;
  }

  /** A value of a kind: one of those below, or else of the word list of that name. */
  Value draw(String kind) {
    return switch (kind) {
      case "time" -> new Value(time());
      case "day" -> day();
      case "minutes" -> number(1, 120);
      case "degrees" -> number(14, 29);
      case "percent", "number" -> number(0, 100);
      case "level" -> number(1, 40);
      case "quantity" -> number(2, 24);
      case "nights" -> number(2, 14);
      case "guests" -> number(2, 9);
      case "year" -> number(1900, 2030);
      case "large" -> number(100, 99_999);
      case "code" -> new Value(code());
      case "person" -> own(this::person);
      case "fullname" -> own(() -> name() + " " + name());
      case "artist" -> own(this::artist);
      case "city" -> own(this::city);
      case "place" -> own(this::place);
      case "product" -> own(this::product);
      case "title", "playlist" -> own(this::title);
      case "label" -> own(() -> pick("label"));
      case "task" -> own(this::task);
      case "word" -> own(this::word);
      case "name" -> own(this::name);
      default -> new Value(pick(kind));
    };
  }

  /** Draws until a value belongs to this supply's part. */
  private Value own(Supplier<String> draw) {
    String value = draw.get();
    while (!split.accepts(value)) {
      value = draw.get();
    }
    return new Value(value);
  }

  private String ownPart(Supplier<String> draw) {
    return own(draw).plain();
  }

  String pick(String list) {
    List<String> words = lexicon.words(list);
    return words.get(random.nextInt(words.size()));
  }

  private boolean chance(double share) {
    return random.nextDouble() < share;
  }

  private Value number(int least, int most) {
    return new Value(Integer.toString(least + random.nextInt(most - least + 1)));
  }

  private String time() {
    int minute = chance(0.7) ? 5 * random.nextInt(12) : random.nextInt(60);
    return String.format(Locale.ROOT, "%02d:%02d", random.nextInt(24), minute);
  }

  private Value day() {
    if (chance(0.25)) {
      return new Value(chance(0.5) ? "today" : "tomorrow");
    }
    String date = chance(0.5) ? pick("weekday") : 1 + random.nextInt(28) + " " + pick("month");
    return new Value("on " + date, date);
  }

  private String code() {
    StringBuilder code = new StringBuilder();
    for (int i = 3 + random.nextInt(4); i > 0; i--) {
      code.append("ABCDEFGHKLMNPRSTUVWXYZ23456789".charAt(random.nextInt(30)));
    }
    return code.toString();
  }

  /** Two or three syllables, which sometimes happen to be a word. */
  private String syllables() {
    StringBuilder word = new StringBuilder();
    for (int i = chance(0.75) ? 2 : 3; i > 0; i--) {
      word.append(ONSETS[random.nextInt(ONSETS.length)]);
      word.append(VOWELS[random.nextInt(VOWELS.length)]);
    }
    return chance(0.6)
        ? word.append(CODAS[random.nextInt(CODAS.length)]).toString()
        : word.toString();
  }

  private String word() {
    return chance(made) ? syllables() : pick(chance(0.5) ? "noun" : "adjective");
  }

  private String name() {
    return chance(made) ? capital(syllables()) : pick("person");
  }

  private String person() {
    return chance(0.8) ? name() : name() + " " + capital(syllables());
  }

  private String artist() {
    if (chance(0.35)) {
      return "The " + capital(word()) + " " + plural(capital(pick("noun")));
    }
    return chance(0.6) ? name() + " " + capital(syllables()) : name();
  }

  private String city() {
    if (!chance(made)) {
      return pick("city");
    }
    String stem = capital(syllables());
    String city = chance(0.5) ? stem + CITY_ENDS[random.nextInt(CITY_ENDS.length)] : stem;
    return chance(0.15) ? pick("cityprefix") + " " + city : city;
  }

  private String place() {
    return switch (random.nextInt(4)) {
      case 0 -> capital(ownPart(this::word)) + " Street " + (1 + random.nextInt(199));
      case 1 -> "Hotel " + capital(ownPart(this::word));
      case 2 -> ownPart(this::city) + " " + pick("landmark");
      default -> capital(ownPart(this::name)) + " " + pick("landmark");
    };
  }

  private String product() {
    double choice = random.nextDouble();
    if (choice < 0.4) {
      return pick("product");
    }
    if (choice < 0.75) {
      return pick("adjective") + " " + pick("product");
    }
    return syllables() + " " + pick("product");
  }

  private String title() {
    String noun = capital(chance(made / 2) ? syllables() : pick("noun"));
    String other = capital(pick("noun"));
    String adjective = capital(pick("adjective"));
    return switch (random.nextInt(8)) {
      case 0, 1 -> adjective + " " + noun;
      case 2 -> "The " + adjective + " " + noun;
      case 3 -> noun + " of " + other;
      case 4 -> noun + " and " + other;
      case 5 -> "My " + adjective + " " + noun;
      case 6 -> noun + " in the " + other;
      default -> noun;
    };
  }

  private String task() {
    return switch (random.nextInt(5)) {
      case 0 -> pick("contact") + " " + ownPart(this::name);
      case 1 -> pick("acquire") + " the " + ownPart(this::product);
      case 2 -> pick("handle") + " the " + pick("noun");
      case 3 -> "send the " + pick("noun") + " to " + ownPart(this::name);
      default -> pick("chore");
    };
  }

  private static String plural(String noun) {
    if (noun.endsWith("y") && !noun.matches(".*[aeiou]y")) {
      return noun.substring(0, noun.length() - 1) + "ies";
    }
    return noun.matches(".*(s|x|ch|sh)") ? noun + "es" : noun + "s";
  }

  static String capital(String word) {
    return word.isEmpty() ? word : Character.toUpperCase(word.charAt(0)) + word.substring(1);
  }
}
