package ai.nibble.model;

import ai.nibble.autograd.Recall;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Transfer;
import ai.nibble.nn.Workspace;
import ai.nibble.tensor.Device;

/**
 * A device that parts of a model are on, and what these share there.
 *
 * @param precision how the device computes in the model's dtype, which is the same everywhere
 * @param work buffers that they reuse in turn
 */
record Place(Device device, Precision precision, Workspace work) {
  /** A hidden state on this device; one that is elsewhere is copied here and given up there. */
  Variable take(Tape tape, Variable hidden) {
    Device from = hidden.value().device();
    if (from.equals(device)) {
      return hidden;
    }
    try (hidden) {
      return tape.apply(new Transfer(from, device), hidden);
    }
  }

  /** What a run of a layer computes with here. */
  DecoderLayer.Run run(Tape tape, Pass pass, Checkpointing checkpointing, Recall recall) {
    return new DecoderLayer.Run(tape, pass, precision, work, checkpointing, recall);
  }
}
