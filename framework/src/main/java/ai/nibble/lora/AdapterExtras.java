package ai.nibble.lora;

import java.util.List;

/**
 * What an adapter changes besides adding B·A to weights.
 *
 * @param useDora whether each row of an adapted weight is scaled to a trained magnitude (Liu et al.
 *     2024)
 * @param modulesToSave names of modules that were trained whole and replace the base's
 * @param bias which biases of the base were trained and are replaced
 * @param loraBias whether B has a bias
 * @param trainableTokens tokens whose rows are trained by themselves
 */
public record AdapterExtras(
    boolean useDora,
    List<String> modulesToSave,
    Bias bias,
    boolean loraBias,
    TrainableTokens trainableTokens) {
  /** Nothing. */
  public static final AdapterExtras NONE =
      new AdapterExtras(false, List.of(), Bias.NONE, false, TrainableTokens.NONE);

  /** PEFT's {@code bias}. */
  public enum Bias {
    NONE,
    /** Of every module. */
    ALL,
    /** Of the modules that carry A and B. */
    LORA_ONLY
  }

  public AdapterExtras {
    modulesToSave = List.copyOf(modulesToSave);
  }

  /**
   * Whether the module of that path was trained whole: it is named, or ends in a dot and a name.
   */
  public boolean saves(String modulePath) {
    return modulesToSave.stream()
        .anyMatch(name -> modulePath.equals(name) || modulePath.endsWith("." + name));
  }

  /** The same with magnitudes of rows, or without. */
  public AdapterExtras withDora(boolean dora) {
    return new AdapterExtras(dora, modulesToSave, bias, loraBias, trainableTokens);
  }

  /** The same with other modules trained whole. */
  public AdapterExtras withModulesToSave(List<String> modules) {
    return new AdapterExtras(useDora, modules, bias, loraBias, trainableTokens);
  }

  /** The same with other tokens whose rows are trained. */
  public AdapterExtras withTrainableTokens(TrainableTokens tokens) {
    return new AdapterExtras(useDora, modulesToSave, bias, loraBias, tokens);
  }
}
