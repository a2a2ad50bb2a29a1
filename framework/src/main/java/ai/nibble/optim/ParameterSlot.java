package ai.nibble.optim;

import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A trained tensor's place in the flat buffer, for optimizers that treat each by itself.
 *
 * @param begin its first element
 * @param shape its shape
 * @param range what holds for it: all of it lies in there
 */
record ParameterSlot(String name, int begin, long[] shape, ParameterRange range) {
  int elements() {
    return Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact));
  }

  /** Every parameter's, in their order. */
  static List<ParameterSlot> of(ParameterSet parameters, List<ParameterRange> ranges) {
    List<ParameterSlot> slots = new ArrayList<>();
    for (Parameter p : parameters.parameters()) {
      int begin = Math.toIntExact(parameters.offset(p.name()));
      ParameterRange range = ParameterRange.holding(parameters, p, ranges);
      slots.add(new ParameterSlot(p.name(), begin, p.value().shape(), range));
    }
    return slots;
  }

  /** Elements of all: slots cover the flat buffer. */
  static int elements(List<ParameterSlot> slots) {
    return slots.stream().mapToInt(ParameterSlot::elements).reduce(0, Math::addExact);
  }
}
