package ai.nibble.export.gguf;

import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufTensorSpec;
import ai.nibble.model.GgufHyperparameters;
import ai.nibble.model.GgufLayout;
import ai.nibble.model.WeightSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Which tensors a model's file gets, in its order, and of which types.
 *
 * @param names those in the file to Hugging Face's; those of the rope scaling have none
 * @param specs of all, those of the rope scaling first where the model has them
 */
record TensorPlan(Map<String, String> names, List<GgufTensorSpec> specs) {
  /**
   * Plans a model's file.
   *
   * @param notices takes a line where types fall back, or lose much
   */
  static TensorPlan of(WeightSource weights, FileType type, Consumer<String> notices) {
    Map<String, String> names = new LinkedHashMap<>();
    List<GgufTensorSpec> specs = new ArrayList<>();
    Map<GgmlType, Integer> fallbacks = new EnumMap<>(GgmlType.class);
    GgufHyperparameters.ropeTensors(weights.config())
        .forEach(
            (name, values) ->
                specs.add(new GgufTensorSpec(name, GgmlType.F32, List.of((long) values.length))));
    for (String name : weights.names()) {
      String ggufName = GgufLayout.ggufName(weights.config(), name).orElseThrow();
      long[] shape = weights.shape(name);
      FileType.Choice choice =
          type.typeOf(ggufName, shape.length, shape[shape.length - 1], weights.config());
      if (choice.fallback()) {
        fallbacks.merge(choice.type(), 1, Integer::sum);
      }
      names.put(ggufName, name);
      List<Long> sizes = Arrays.stream(shape).boxed().toList();
      specs.add(new GgufTensorSpec(ggufName, choice.type(), sizes));
    }
    TensorPlan plan = new TensorPlan(names, specs);
    plan.noteLoss(notices);
    plan.noteFallbacks(fallbacks, notices);
    return plan;
  }

  private void noteLoss(Consumer<String> notices) {
    Map<GgmlType, Integer> coarse = count();
    coarse.keySet().retainAll(EnumSet.of(GgmlType.Q2_K, GgmlType.Q3_K));
    if (!coarse.isEmpty()) {
      notices.accept(
          "tensors of types that lose much: "
              + coarse
              + "; answers will be noticeably worse than the base's, most of all those of small"
              + " models: Q4_K_M is the smallest type that usually keeps them");
    }
  }

  private void noteFallbacks(Map<GgmlType, Integer> fallbacks, Consumer<String> notices) {
    if (!fallbacks.isEmpty()) {
      notices.accept(
          "%d of %d tensors have rows that are no whole number of the blocks of their type, and are"
                  .formatted(
                      fallbacks.values().stream().mapToInt(Integer::intValue).sum(), specs.size())
              + " written as "
              + fallbacks
              + ", as llama.cpp does");
    }
  }

  /** How many tensors there are of each type. */
  Map<GgmlType, Integer> count() {
    Map<GgmlType, Integer> counts = new EnumMap<>(GgmlType.class);
    specs.forEach(spec -> counts.merge(spec.type(), 1, Integer::sum));
    return counts;
  }
}
