package ai.nibble.recipe;

import ai.nibble.tensor.Device;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A device as people write it: {@code cpu}, {@code cuda} (the first GPU), {@code cuda:1} or, as in
 * transformers' maps, {@code 1}; {@code cpu:1} is a {@linkplain Device#pretended pretended} one.
 */
final class DeviceName {
  /** For messages. */
  static final String EXPECTED = "cpu, cuda or cuda:N";

  static final List<String> WORDS = List.of("cpu", "cuda", "cuda:0", "cuda:1");

  private static final Pattern NAME = Pattern.compile("(cpu|cuda)(?::(\\d{1,3}))?|(\\d{1,3})");
  private static final Pattern OTHER_MAKES =
      Pattern.compile("(mps|xpu|npu|hip|rocm|hpu|mlu)(:\\d+)?");

  private DeviceName() {}

  /** The device that a text names; empty if it names none. */
  static Optional<Device> parse(String text) {
    Matcher name = NAME.matcher(text);
    if (!name.matches()) {
      return Optional.empty();
    }
    String index = name.group(1) == null ? name.group(3) : name.group(2);
    int number = index == null ? 0 : Integer.parseInt(index);
    boolean cpu = "cpu".equals(name.group(1));
    return Optional.of(new Device(cpu ? Device.Type.CPU : Device.Type.CUDA, number));
  }

  /** Why a known name is no device here; empty for others. */
  static Optional<String> refusal(String text) {
    if (OTHER_MAKES.matcher(text).matches()) {
      return Optional.of("which is not supported: use cpu or cuda (an NVIDIA GPU)");
    }
    return switch (text) {
      case "disk" ->
          Optional.of("which is not supported: weights are in memory while they are used, use cpu");
      case "meta" -> Optional.of("which holds no values: use cpu or cuda");
      default -> Optional.empty();
    };
  }

  /**
   * Reads a device; null once a problem has been reported.
   *
   * @param expected beside a device's name, for messages
   */
  static Device read(Node node, Reading at, String expected) {
    if (!(node instanceof Node.Scalar scalar) || scalar.kind() == ScalarKind.NULL) {
      at.reject(node, expected);
      return null;
    }
    Optional<Device> device = parse(scalar.text());
    if (device.isPresent()) {
      return device.get();
    }
    Optional<String> why = refusal(scalar.text());
    if (why.isPresent()) {
      at.problems()
          .add(scalar.at(), "'" + at.shownKey() + "' is " + scalar.seen() + ", " + why.get());
    } else {
      at.reject(node, expected + NearestName.hint(scalar.text(), WORDS));
    }
    return null;
  }
}
