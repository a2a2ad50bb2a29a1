package ai.nibble.data;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * What carries loss, and how long a sequence may be.
 *
 * @param trainOnInputs whether every token carries loss
 * @param rolesToTrain roles whose messages carry loss
 * @param trainOnEos which end-of-turn tokens carry loss
 * @param sequenceLen most tokens of a sequence, at least 2
 * @param excessLength what happens to a longer row
 */
public record EncodingSettings(
    boolean trainOnInputs,
    Set<String> rolesToTrain,
    TrainOnEos trainOnEos,
    int sequenceLen,
    ExcessLength excessLength) {

  /** Which end-of-turn tokens carry loss. */
  public enum TrainOnEos {
    /** Those right behind a trained turn. */
    TURN,
    /** Those of every turn. */
    ALL,
    /** The last one of the conversation. */
    LAST,
    /** None. */
    NONE
  }

  /** What happens to a row that is too long. */
  public enum ExcessLength {
    /** An error that names the row. */
    RAISE,
    /** It is left out, and counted. */
    DROP,
    /** Its end is cut off, and counted. */
    TRUNCATE
  }

  public EncodingSettings {
    rolesToTrain = java.util.Collections.unmodifiableSet(new LinkedHashSet<>(rolesToTrain));
    if (sequenceLen < 2) {
      throw new IllegalArgumentException("sequence_len is " + sequenceLen + ", expected 2 or more");
    }
  }

  /** Loss on the assistant's turns and their ends; a longer row is an error. */
  public static EncodingSettings withLength(int sequenceLen) {
    return new EncodingSettings(
        false,
        new LinkedHashSet<>(List.of("assistant")),
        TrainOnEos.TURN,
        sequenceLen,
        ExcessLength.RAISE);
  }
}
