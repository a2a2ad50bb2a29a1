package ai.nibble.lora;

import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How new adapters begin, PEFT's {@code init_lora_weights}. However they do, the model computes
 * what it did before training, but for {@link Kind#LOFTQ}, which is there to change that.
 *
 * @param kind the method
 * @param iterations of the randomised decomposition of {@link Kind#PISSA}; 0: an exact one
 */
public record InitLoraWeights(Kind kind, int iterations) {
  /** The methods. */
  public enum Kind {
    /** {@code true}: A is uniform on ±1/√in (Kaiming with a = √5), B zero. */
    KAIMING,
    /** A is normal with standard deviation 1/r, B zero. */
    GAUSSIAN,
    /** A and B are normal on parts of an orthogonal basis of the ranks that B·A has nothing of. */
    ORTHOGONAL,
    /**
     * B·A are the strongest directions of the weight (Meng et al. 2024), which are subtracted from
     * it: not from its values, as PEFT does, but by a second pair beside the trained one, which
     * stays what it is and is saved with it. So the base is never another.
     */
    PISSA,
    /** As {@link #PISSA}, B·A being the first rows of a QR decomposition (Büyükakyüz 2024). */
    OLORA,
    /** B·A is what quantisation took from the weight, as far as it goes (Li et al. 2023). */
    LOFTQ
  }

  public static final InitLoraWeights KAIMING = new InitLoraWeights(Kind.KAIMING, 0);
  public static final InitLoraWeights GAUSSIAN = new InitLoraWeights(Kind.GAUSSIAN, 0);
  public static final InitLoraWeights ORTHOGONAL = new InitLoraWeights(Kind.ORTHOGONAL, 0);
  public static final InitLoraWeights PISSA = new InitLoraWeights(Kind.PISSA, 0);
  public static final InitLoraWeights OLORA = new InitLoraWeights(Kind.OLORA, 0);
  public static final InitLoraWeights LOFTQ = new InitLoraWeights(Kind.LOFTQ, 0);

  private static final String KAIMING_TEXT = "true";
  private static final Pattern PISSA_ITERATIONS = Pattern.compile("pissa_niter_([1-9]\\d{0,2})");

  /** PISSA by so many passes of a randomised decomposition: seconds in place of minutes. */
  public static InitLoraWeights pissa(int iterations) {
    return new InitLoraWeights(Kind.PISSA, iterations);
  }

  /** What a text names, as PEFT spells it; empty for none of them. */
  public static Optional<InitLoraWeights> of(String text) {
    if (text.equals(KAIMING_TEXT)) {
      return Optional.of(KAIMING);
    }
    Matcher iterations = PISSA_ITERATIONS.matcher(text);
    if (iterations.matches()) {
      return Optional.of(pissa(Integer.parseInt(iterations.group(1))));
    }
    for (Kind kind : Kind.values()) {
      if (kind != Kind.KAIMING && kind.name().toLowerCase(Locale.ROOT).equals(text)) {
        return Optional.of(new InitLoraWeights(kind, 0));
      }
    }
    return Optional.empty();
  }

  /** The name that {@link #of} reads. */
  public String text() {
    String name = kind == Kind.KAIMING ? KAIMING_TEXT : kind.name().toLowerCase(Locale.ROOT);
    return iterations == 0 ? name : name + "_niter_" + iterations;
  }

  /** Whether a second pair takes back what B·A begins with. */
  public boolean isSubtracted() {
    return kind == Kind.PISSA || kind == Kind.OLORA;
  }
}
