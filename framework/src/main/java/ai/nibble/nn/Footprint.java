package ai.nibble.nn;

import ai.nibble.nn.Workspace.Purpose;
import java.util.EnumMap;
import java.util.Map;

/**
 * The memory of one function of a pass, in bytes as tensors take them. Every function says its own,
 * beside its forward and backward or, of a group of linears, with its sizes; a test holds what is
 * said against what is done.
 *
 * @param output its output
 * @param saved what forward makes and keeps for backward, beside input and output
 * @param savesInput whether backward reads the input
 * @param savesOutput whether backward reads the output
 * @param forward the most that forward holds beside output and saved
 * @param backward the most that backward holds before it makes the input's gradient
 * @param beside what it still holds while it makes that
 * @param gradient the input's gradient; 0 where it is the output's
 * @param workspace what it asks of the {@link Workspace}
 * @param aside of what is saved, what a checkpoint's first run keeps for the second beside the
 *     output
 */
public record Footprint(
    long output,
    long saved,
    boolean savesInput,
    boolean savesOutput,
    long forward,
    long backward,
    long beside,
    long gradient,
    Map<Purpose, Long> workspace,
    long aside) {

  /** A function that makes an output and saves nothing. */
  static Footprint of(long output) {
    return new Footprint(output, 0, false, false, 0, 0, 0, 0, Map.of(), 0);
  }

  /** It keeps its input, and so many bytes that it makes. */
  Footprint savingInput(long more) {
    return new Footprint(
        output, more, true, savesOutput, forward, backward, beside, gradient, workspace, aside);
  }

  /** It keeps so many bytes that it makes. */
  Footprint saving(long bytes) {
    return new Footprint(
        output,
        bytes,
        savesInput,
        savesOutput,
        forward,
        backward,
        beside,
        gradient,
        workspace,
        aside);
  }

  /** It keeps its output. */
  Footprint savingOutput() {
    return new Footprint(
        output, saved, savesInput, true, forward, backward, beside, gradient, workspace, aside);
  }

  Footprint inForward(long bytes) {
    return new Footprint(
        output,
        saved,
        savesInput,
        savesOutput,
        bytes,
        backward,
        beside,
        gradient,
        workspace,
        aside);
  }

  Footprint inBackward(long before, long with, long made) {
    return new Footprint(
        output, saved, savesInput, savesOutput, forward, before, with, made, workspace, aside);
  }

  /** It asks for a buffer, beside those that it asks for anyway. */
  Footprint using(Purpose purpose, long bytes) {
    Map<Purpose, Long> all = new EnumMap<>(Purpose.class);
    all.putAll(workspace);
    all.merge(purpose, bytes, Math::max);
    return new Footprint(
        output,
        saved,
        savesInput,
        savesOutput,
        forward,
        backward,
        beside,
        gradient,
        Map.copyOf(all),
        aside);
  }

  /** A checkpoint keeps so many of the bytes that it saves. */
  Footprint keepingAside(long bytes) {
    return new Footprint(
        output,
        saved,
        savesInput,
        savesOutput,
        forward,
        backward,
        beside,
        gradient,
        workspace,
        bytes);
  }
}
