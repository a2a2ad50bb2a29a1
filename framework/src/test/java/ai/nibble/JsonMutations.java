package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Files of JSON, damaged at random but the same each time: a value replaced by one of many kinds,
 * taken away, moved, nested or doubled, or the text itself cut or with other bytes.
 */
public final class JsonMutations {
  /** What one case may allocate on the heap, whatever the file claims. */
  private static final long MOST_BYTES = 64L << 20;

  /** Values as they stand in JSON; none is longer than a few kilobytes. */
  private static final List<String> VALUES =
      List.of(
          "null",
          "true",
          "false",
          "0",
          "-0",
          "1",
          "-1",
          "2",
          "3",
          "7",
          "64",
          "65536",
          "2147483647",
          "2147483648",
          "-2147483648",
          "4294967296",
          "9223372036854775807",
          "9223372036854775808",
          "1e2",
          "0.5",
          "-0.5",
          "1.0",
          "1e-300",
          "1e308",
          "1e999",
          "-1e999",
          "1e1000000000",
          "123456789012345678901234567890",
          "\"\"",
          "\"x\"",
          "\"../../x\"",
          "\"/etc/passwd\"",
          "\"\\u0000\"",
          "\"a\\nb\"",
          "\"\\ud800\"",
          "\"%s%d%n\"",
          "\"${x}\"",
          "\"(a|aa)+$\"",
          "\"((((((((((\"",
          "\"" + "y".repeat(5000) + "\"",
          "[]",
          "{}",
          "[null]",
          "[[[[[]]]]]",
          "[1, 2, 3]",
          "[\"a\", \"b\"]",
          "{\"a\": {\"a\": {\"a\": null}}}",
          "[" + "1,".repeat(2000) + "1]",
          "{\"type\": \"x\"}",
          "\"default\"",
          "\"float16\"");

  private final ObjectMapper mapper = new ObjectMapper();
  private final JsonNode original;
  private final Random random;
  private int refused;
  private int taken;

  public JsonMutations(String json, long seed) throws IOException {
    original = mapper.readTree(json);
    random = new Random(seed);
  }

  /** What is tried: it takes the file or throws. */
  @FunctionalInterface
  public interface Reader {
    void read(byte[] json) throws Exception;
  }

  /** How many were refused so far. */
  public int refused() {
    return refused;
  }

  /** How many were taken so far. */
  public int taken() {
    return taken;
  }

  /**
   * Tries a number of damaged files: each is taken, or refused in lines that name the place.
   *
   * @param place what every line must contain
   */
  public void each(int count, String place, Reader reader) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (int i = 0; i < count; i++) {
      byte[] json = next();
      long before = threads.getThreadAllocatedBytes(Thread.currentThread().getId());
      try {
        reader.read(json);
        taken++;
      } catch (InvalidInputException e) {
        refused++;
        assertToldInLines(e, place, json);
      } catch (Throwable e) {
        throw new AssertionError(e + ", for " + shown(json), e);
      }
      long used = threads.getThreadAllocatedBytes(Thread.currentThread().getId()) - before;
      assertTrue(used <= MOST_BYTES, () -> used + " bytes were allocated for " + shown(json));
    }
  }

  private static void assertToldInLines(InvalidInputException e, String place, byte[] json) {
    assertFalse(e.problems().isEmpty());
    assertEquals(String.join("\n", e.problems()), e.getMessage());
    for (String line : e.problems()) {
      assertTrue(
          line.contains(place), () -> line + "\nnames no '" + place + "' for " + shown(json));
      assertTrue(
          line.chars().noneMatch(Character::isISOControl),
          () -> "control characters in '" + line + "' for " + shown(json));
      assertTrue(
          line.length() <= 1200, () -> line.length() + " characters: " + line.substring(0, 300));
    }
  }

  private static String shown(byte[] json) {
    String text = new String(json, StandardCharsets.UTF_8);
    return text.length() <= 4000 ? text : text.substring(0, 4000) + "…";
  }

  private byte[] next() {
    if (random.nextInt(8) == 0) {
      return damagedText(original.toString().getBytes(StandardCharsets.UTF_8));
    }
    JsonNode copy = original.deepCopy();
    for (int n = random.nextInt(3); n >= 0; n--) {
      change(copy);
    }
    // raw values stand in the tree as marked texts: a parser of JSON could not hold some of them
    String text = copy.toString();
    for (int v = 0; v < VALUES.size(); v++) {
      text = text.replace("\"@@" + v + "@@\"", VALUES.get(v));
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private byte[] damagedText(byte[] text) {
    byte[] damaged = text.clone();
    switch (random.nextInt(4)) {
      case 0 -> damaged = Arrays.copyOf(text, random.nextInt(text.length));
      case 1 -> damaged[random.nextInt(text.length)] = (byte) random.nextInt();
      case 2 -> damaged[random.nextInt(text.length)] ^= (byte) (1 << random.nextInt(8));
      default -> {
        int from = random.nextInt(text.length);
        int n = Math.min(random.nextInt(40), text.length - from);
        System.arraycopy(text, random.nextInt(text.length - n + 1), damaged, from, n);
      }
    }
    return damaged;
  }

  private void change(JsonNode root) {
    List<JsonNode> containers = new ArrayList<>();
    collect(root, containers);
    containers.removeIf(JsonNode::isEmpty);
    if (containers.isEmpty()) {
      return;
    }
    JsonNode parent = containers.get(random.nextInt(containers.size()));
    int at = random.nextInt(parent.size());
    if (parent instanceof ObjectNode object) {
      List<String> keys = new ArrayList<>();
      object.fieldNames().forEachRemaining(keys::add);
      String key = keys.get(at);
      switch (random.nextInt(8)) {
        case 0 -> object.remove(key);
        case 1 -> object.set(key + "x", object.remove(key));
        case 2 -> object.set(key, any(root));
        case 3 -> object.set(key, mapper.createArrayNode().add(object.get(key)));
        default -> object.put(key, value());
      }
    } else if (parent instanceof ArrayNode array) {
      switch (random.nextInt(6)) {
        case 0 -> array.remove(at);
        case 1 -> array.insert(at, array.get(random.nextInt(array.size())));
        case 2 -> array.set(at, any(root));
        default -> array.set(at, value());
      }
    }
  }

  private String value() {
    return "@@" + random.nextInt(VALUES.size()) + "@@";
  }

  private JsonNode any(JsonNode root) {
    List<JsonNode> all = new ArrayList<>();
    collect(root, all);
    JsonNode from = all.get(random.nextInt(all.size()));
    List<JsonNode> children = new ArrayList<>();
    from.forEach(children::add);
    return children.isEmpty()
        ? from.deepCopy()
        : children.get(random.nextInt(children.size())).deepCopy();
  }

  private static void collect(JsonNode node, List<JsonNode> into) {
    if (node.isContainerNode()) {
      into.add(node);
      node.forEach(child -> collect(child, into));
    }
  }
}
