package ai.nibble.model;

import ai.nibble.autograd.Offload;
import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.MemoryLedger.Value;
import ai.nibble.model.MemoryTape.Variable;
import ai.nibble.nn.Attention;
import ai.nibble.nn.Embedding;
import ai.nibble.nn.Experts;
import ai.nibble.nn.Extent;
import ai.nibble.nn.Footprint;
import ai.nibble.nn.GroupShape;
import ai.nibble.nn.HeadNorm;
import ai.nibble.nn.LinearCrossEntropy;
import ai.nibble.nn.LinearLogProbs;
import ai.nibble.nn.Residual;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.Router;
import ai.nibble.nn.SelectRows;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.LongConsumer;

/**
 * The memory of a micro-batch's forward and backward pass, found by going through the pass as
 * {@link CausalLm} does with nothing but sizes: the functions say what each makes and saves ({@link
 * Footprint}), and this, statement for statement like {@link DecoderLayer#forward} and {@link
 * ai.nibble.autograd.Checkpoint}, which value lives how long.
 *
 * <p>Of N tokens in a layer of hidden size h, q and kv elements of queries and of keys,
 * intermediate size i and ranks r, with values of c bytes, what forward keeps is, on the CPU:
 *
 * <ul>
 *   <li>{@code none}: {@code N·c·(4h + 2q + 2kv + 3i + Σr)}: the layer's input, two normalised
 *       inputs, the state after attention; rotated queries, keys, values and attention's output;
 *       gate, up and their product; each group's {@code xAᵀ}; and on the CPU attention's
 *       probabilities, where they are at most {@code 6q} a token
 *   <li>{@code selective}: {@code N·c·(2h + (q + 2kv) + q + 2i)}: input, product of q, k and v,
 *       attention's output, the state after attention, product of gate and up
 *   <li>{@code partial}: {@code N·c·(2h + (q + 2kv) + q)}: the same without the product of gate and
 *       up
 *   <li>{@code block}: {@code N·c·(2h + q)}: input, attention's output, the state after attention
 *   <li>{@code offload}: of those, on a device, what belongs to two layers
 * </ul>
 *
 * Where heads are normalised, {@code none} keeps what is normalised too: {@code N·c·(q + 2kv)};
 * where norms stand behind attention and MLP as well, what they read: {@code 2N·c·h}.
 *
 * <p>On a device attention keeps queries, keys and values rotated in one tensor with a float32
 * log-sum-exp for each head, and {@code xAᵀ} lies in columns behind x, up to a multiple of 64.
 */
public final class StepMemory {
  private static final Set<Purpose> OF_THE_LOSS = Set.of(Purpose.LOGITS, Purpose.HEAD);

  private final ModelShape model;
  private final Extent extent;
  private final int lossRows;
  private final Checkpointing checkpointing;
  private final boolean training;
  private final boolean answers;
  private final MemoryLedger ledger = new MemoryLedger();
  private final MemoryOffload offload = new MemoryOffload();
  private final Map<Purpose, Long> workspace = new EnumMap<>(Purpose.class);
  private long kept;
  private long layerBytes;
  private long largestLayer;

  private StepMemory(
      ModelShape model,
      Extent extent,
      int lossRows,
      Checkpointing checkpointing,
      boolean training,
      boolean answers) {
    this.model = model;
    this.extent = extent;
    this.lossRows = lossRows;
    this.checkpointing = checkpointing;
    this.training = training;
    this.answers = answers;
  }

  /**
   * What a pass holds.
   *
   * @param atPeak bytes for each purpose at the moment of the most
   * @param kept bytes kept after forward for backward, the hidden states' gradient by the loss
   *     among them
   * @param layer bytes of all that a layer makes in forward
   * @param onHost bytes that lie in the main memory of a device's machine at most
   */
  public record Result(Map<MemoryPart, Long> atPeak, long kept, long layer, long onHost) {
    /** Bytes at the moment of the most. */
    public long peak() {
      return atPeak.values().stream().mapToLong(Long::longValue).sum();
    }
  }

  /**
   * Forward and backward of a micro-batch.
   *
   * @param lossRows tokens that carry loss
   */
  public static Result training(
      ModelShape model, Extent extent, int lossRows, Checkpointing checkpointing) {
    return new StepMemory(model, extent, lossRows, checkpointing, true, false).run();
  }

  /** The same with a loss on whole answers, by {@link LinearLogProbs}. */
  public static Result trainingOnAnswers(
      ModelShape model, Extent extent, int lossRows, Checkpointing checkpointing) {
    return new StepMemory(model, extent, lossRows, checkpointing, true, true).run();
  }

  /** A forward pass of an evaluation. */
  public static Result evaluation(ModelShape model, Extent extent, int lossRows) {
    return new StepMemory(model, extent, lossRows, Checkpointing.NONE, false, false).run();
  }

  /**
   * What a part of a pass holds by itself on the device that it is computed on: its input, its
   * output and their gradients among it. What a device holds is at most the sum of what its parts
   * keep, the largest of their moments, and the buffers.
   *
   * @param kept bytes kept between its forward and its backward
   * @param moment most bytes beside these at any moment of both
   * @param made bytes of all that it makes in forward
   * @param workspace buffers that the parts on a device reuse in turn
   */
  public record Part(long kept, long moment, long made, Map<Purpose, Long> workspace) {}

  /** What makes up the parts of a pass. */
  public record Pass(
      ModelShape model, Extent extent, int lossRows, Checkpointing checkpointing, Kind kind) {}

  /** What a pass is for. */
  public enum Kind {
    TRAINING,
    /** Training by a loss on whole answers. */
    TRAINING_ON_ANSWERS,
    EVALUATION
  }

  private StepMemory(Pass pass) {
    this(
        pass.model,
        pass.extent,
        pass.lossRows,
        pass.kind == Kind.EVALUATION ? Checkpointing.NONE : pass.checkpointing,
        pass.kind != Kind.EVALUATION,
        pass.kind == Kind.TRAINING_ON_ANSWERS);
  }

  /** The embedding's part. */
  public static Part ofEmbedding(Pass pass) {
    StepMemory memory = new StepMemory(pass);
    return memory.part(memory.hiddenBytes(), memory::embedded);
  }

  /** A layer's part. */
  public static Part ofLayer(Pass pass, LayerShape layer) {
    StepMemory memory = new StepMemory(pass);
    return memory.part(
        memory.hiddenBytes(),
        tape -> {
          Variable x = memory.someHidden(tape);
          Variable next = memory.next(tape, layer, x);
          x.close();
          return next;
        });
  }

  /** The part of the last norm, the output head and the loss. */
  public static Part ofLoss(Pass pass) {
    StepMemory memory = new StepMemory(pass);
    return memory.part(
        memory.lossBytes(),
        tape -> {
          Variable hidden = memory.someHidden(tape);
          Variable loss = memory.loss(tape, hidden);
          hidden.close();
          return loss;
        });
  }

  private long hiddenBytes() {
    return extent.bytes(extent.precision().compute(), extent.tokens(), model.hidden());
  }

  private Variable someHidden(MemoryTape tape) {
    return tape.put(ledger.take(MemoryPart.ACTIVATIONS, hiddenBytes()), training);
  }

  /**
   * @param gradient bytes of the gradient that comes to the part's output
   */
  private Part part(long gradient, Function<MemoryTape, Variable> forward) {
    MemoryTape tape = new MemoryTape(ledger, training);
    Variable output = forward.apply(tape);
    output.close();
    kept = ledger.held();
    if (output.requiresGrad()) {
      tape.backward(output, ledger.take(MemoryPart.WORKING, gradient));
    }
    tape.close();
    requireNothingHeld();
    long peak = ledger.atPeak().values().stream().mapToLong(Long::longValue).sum();
    return new Part(kept, peak - kept, largestLayer, Map.copyOf(workspace));
  }

  private void requireNothingHeld() {
    if (ledger.held() != 0) {
      throw new IllegalStateException(ledger.held() + " bytes are never given up");
    }
  }

  private Result run() {
    MemoryTape tape = new MemoryTape(ledger, training);
    Variable hidden = hidden(tape);
    Variable loss = loss(tape, hidden);
    hidden.close();
    kept = ledger.held();
    if (training) {
      tape.backward(loss, ledger.take(MemoryPart.LOSS, lossBytes()));
    }
    tape.close();
    requireNothingHeld();
    Map<MemoryPart, Long> all = new EnumMap<>(ledger.atPeak());
    workspace.forEach(
        (purpose, bytes) ->
            all.merge(
                OF_THE_LOSS.contains(purpose) ? MemoryPart.LOSS : MemoryPart.WORKSPACE,
                bytes,
                Long::sum));
    return new Result(all, kept, largestLayer, offload.most());
  }

  /** One number, or one for each token with loss. */
  private long lossBytes() {
    return (answers ? lossRows : 1) * DType.FLOAT32.bytes();
  }

  private Variable hidden(MemoryTape tape) {
    Variable x = embedded(tape);
    for (LayerShape layer : model.layers()) {
      Variable next = next(tape, layer, x);
      x.close();
      x = next;
    }
    return x;
  }

  private Variable embedded(MemoryTape tape) {
    Footprint embedding =
        Embedding.footprint(extent, model.hidden(), model.vocabulary(), model.embedding());
    return tape.apply(embedding, model.embedding().learns(), null, MemoryPart.ACTIVATIONS);
  }

  private Variable next(MemoryTape tape, LayerShape layer, Variable x) {
    return checkpointing != Checkpointing.NONE && training
        ? checkpoint(tape, layer, x)
        : layer(run(tape, MemoryPart.ACTIVATIONS, Recalled.NONE), layer, x);
  }

  private Variable loss(MemoryTape tape, Variable hidden) {
    int h = model.hidden();
    MemoryPart part = MemoryPart.LOSS;
    Footprint entropy =
        answers
            ? LinearLogProbs.footprint(extent, lossRows, h, model.vocabulary(), model.head())
            : LinearCrossEntropy.footprint(
                extent, lossRows, h, model.vocabulary(), model.head(), training);
    Variable selected =
        tape.apply(SelectRows.footprint(extent, h, lossRows), false, null, part, hidden);
    Variable normed =
        tape.apply(
            RmsNorm.footprint(extent, lossRows, h, 0), model.trained(), null, part, selected);
    entropy.workspace().forEach((p, bytes) -> workspace.merge(p, bytes, Math::max));
    Variable loss = tape.apply(entropy, model.head().learns(), null, part, normed);
    normed.close();
    selected.close();
    return loss;
  }

  /** As {@link ai.nibble.autograd.Checkpoint}. */
  private Variable checkpoint(MemoryTape tape, LayerShape layer, Variable x) {
    Recalled recalled = new Recalled(true, ledger);
    MemoryTape first = new MemoryTape(ledger, false);
    Variable input = first.put(x.value().share(), false);
    Run run = run(first, MemoryPart.ACTIVATIONS, recalled);
    Value output = layer(run, layer, input).value().share();
    first.close();
    if (checkpointing == Checkpointing.OFFLOAD && Offload.serves(new Device(extent.where(), 0))) {
      return offloaded(tape, layer, x, output, recalled);
    }
    Value saved = x.value().share();
    MemoryTape.Backward backward = gradOutput -> again(layer, x, saved, recalled, gradOutput);
    return tape.record(backward, output, List.of(saved), x);
  }

  /** The same where inputs and kept outputs are elsewhere until they are read. */
  private Variable offloaded(
      MemoryTape tape, LayerShape layer, Variable x, Value output, Recalled recalled) {
    List<Value> away = new ArrayList<>(List.of(x.value().share()));
    away.addAll(recalled.values);
    recalled.values.clear();
    MemoryOffload.Parcel parcel = offload.put(away);
    MemoryTape.Backward backward =
        gradOutput -> {
          List<Value> back = parcel.take();
          recalled.values.addAll(back.subList(1, back.size()));
          again(layer, x, back.get(0), recalled, gradOutput);
          back.get(0).close();
        };
    return tape.record(backward, output, List.of(), x);
  }

  /** The second run, and its backward. */
  private void again(
      LayerShape layer, Variable x, Value saved, Recalled recalled, Value gradOutput) {
    recalled.again = true;
    MemoryTape second = new MemoryTape(ledger, true);
    Variable again = second.put(saved.share(), x.requiresGrad());
    Variable result = layer(run(second, MemoryPart.WORKING, recalled), layer, again);
    second.backward(result, gradOutput.share());
    Value gradient = MemoryTape.takeGradient(again);
    second.close();
    if (gradient != null) {
      MemoryTape.add(x, gradient);
    }
  }

  /** What a first run keeps for a second, as {@link ai.nibble.autograd.Recall} does. */
  private static final class Recalled {
    static final Recalled NONE = new Recalled(false, null);

    private final boolean keeps;
    private final MemoryLedger ledger;
    private final Deque<Value> values = new ArrayDeque<>();
    private final Deque<Value> aside = new ArrayDeque<>();
    private boolean again;

    Recalled(boolean keeps, MemoryLedger ledger) {
      this.keeps = keeps;
      this.ledger = ledger;
    }

    void keep(Value output, Footprint f, MemoryPart part) {
      values.add(output.share());
      aside.add(ledger.take(part, f.aside()));
    }

    /** The output of the next step; what lies aside is among what that saves. */
    Value take() {
      aside.remove().close();
      return values.remove();
    }
  }

  private Run run(MemoryTape tape, MemoryPart part, Recalled recalled) {
    return new Run(tape, part, recalled, bytes -> layerBytes += bytes);
  }

  /** What a run of a layer computes with; {@code made} hears of every output. */
  private record Run(MemoryTape tape, MemoryPart part, Recalled recalled, LongConsumer made) {
    Variable apply(Footprint f, boolean parameters, Variable... inputs) {
      made.accept(f.output() + f.saved());
      return tape.apply(f, parameters, null, part, inputs);
    }

    /** A step whose output a second run gets from the first. */
    Variable kept(Footprint f, boolean parameters, Variable... inputs) {
      if (recalled.again) {
        return tape.apply(f, parameters, recalled.take(), part, inputs);
      }
      Variable output = apply(f, parameters, inputs);
      if (recalled.keeps) {
        recalled.keep(output.value(), f, part);
      }
      return output;
    }
  }

  /** As {@link DecoderLayer#forward}. */
  private Variable layer(Run run, LayerShape l, Variable x) {
    layerBytes = 0;
    boolean once = training && checkpointing == Checkpointing.NONE;
    boolean trained = model.trained();
    Norms norms = l.form().norms();
    Variable normed = norms.before() ? run.apply(norm(l.qkv()), trained, x) : x;
    Variable projected =
        product(run, l.qkv(), normed, extent, norms.before(), checkpointing.keepsQkv());
    Variable queries = l.headNorm() ? run.apply(headNorm(l), trained, projected) : projected;
    Variable heads = run.kept(Attention.footprint(extent, l.attention(), once), false, queries);
    queries.close();
    Variable product = run.apply(group(l.output(), extent, false), adapts(l.output()), heads);
    Variable mixed = norms.after() ? after(run, product) : product;
    List.of(heads, projected).forEach(Variable::close);
    closeIfMade(normed, x);
    Variable attended = run.kept(Residual.footprint(extent, l.hidden()), false, x, mixed);
    mixed.close();
    Variable normed2 = norms.before() ? run.apply(normBeforeMlp(l), trained, attended) : attended;
    Variable lowered =
        l.experts().isPresent()
            ? experts(run, l, normed2)
            : gatedMlp(run, l, normed2, extent, norms.before());
    Variable given = norms.after() ? after(run, lowered) : lowered;
    closeIfMade(normed2, attended);
    Variable next = run.apply(Residual.footprint(extent, l.hidden()), false, attended, given);
    List.of(given, attended).forEach(Variable::close);
    largestLayer = Math.max(largestLayer, layerBytes);
    return next;
  }

  private Footprint normBeforeMlp(LayerShape l) {
    return l.experts().isPresent()
        ? RmsNorm.footprint(extent, extent.tokens(), model.hidden(), 0)
        : norm(l.gateUp());
  }

  /**
   * As {@link GatedMlp#apply}, over the tokens of an extent.
   *
   * @param offered whether x has the room that the product asks for
   */
  private Variable gatedMlp(Run run, LayerShape l, Variable x, Extent of, boolean offered) {
    Variable gated = product(run, l.gateUp(), x, of, offered, checkpointing.keepsGateUp());
    int room = l.down().room(of);
    Footprint act = l.form().activation().footprint(of, l.intermediate(), room);
    Variable active = run.apply(act, false, gated);
    Variable lowered = run.apply(group(l.down(), of, true), adapts(l.down()), active);
    List.of(active, gated).forEach(Variable::close);
    return lowered;
  }

  /**
   * As {@link ExpertsMlp#apply}: all experts' tokens as if one had them, which takes as much where
   * values are kept, and more for the moment that a single one's take.
   */
  private Variable experts(Run run, LayerShape l, Variable x) {
    ExpertsForm form = l.experts().orElseThrow();
    int k = form.perToken();
    GroupShape router =
        new GroupShape(
            l.hidden(),
            List.of(form.count()),
            List.of(0),
            false,
            model.trained(),
            false,
            false,
            false);
    Variable logits = run.apply(group(router, extent, false), adapts(router), x);
    Variable weights = run.apply(Router.footprint(extent, form.count(), k), false, logits);
    Variable tokens = run.apply(Experts.dispatchFootprint(extent, l.hidden(), k), false, x);
    Extent rows =
        new Extent(
            new int[] {0, extent.tokens() * k},
            extent.precision(),
            extent.where(),
            extent.kernels(),
            extent.threads());
    Variable given = gatedMlp(run, l, tokens, rows, false);
    tokens.close();
    Footprint sum = Experts.combineFootprint(extent, l.hidden(), k);
    Variable combined = run.apply(sum, false, given);
    List.of(given, weights, logits).forEach(Variable::close);
    return combined;
  }

  /** A norm of what was computed, which is given up. */
  private Variable after(Run run, Variable given) {
    Footprint f = RmsNorm.footprint(extent, extent.tokens(), model.hidden(), 0);
    Variable normed = run.apply(f, model.trained(), given);
    given.close();
    return normed;
  }

  private static void closeIfMade(Variable normed, Variable read) {
    if (normed != read) {
      normed.close();
    }
  }

  /**
   * @param kept whether a second run gets it from the first
   */
  private Variable product(
      Run run, GroupShape group, Variable x, Extent of, boolean offered, boolean kept) {
    Footprint f = group(group, of, offered);
    return kept && group.keepsOutput(of, training)
        ? run.kept(f, adapts(group), x)
        : run.apply(f, adapts(group), x);
  }

  private boolean adapts(GroupShape group) {
    return group.trained() || group.ranks().stream().anyMatch(r -> r > 0);
  }

  private Footprint norm(GroupShape reader) {
    return RmsNorm.footprint(extent, extent.tokens(), model.hidden(), reader.room(extent));
  }

  private Footprint headNorm(LayerShape l) {
    return HeadNorm.footprint(extent, l.heads(), l.keyValueHeads(), l.headDim(), model.trained());
  }

  private Footprint group(GroupShape shape, Extent of, boolean offered) {
    Footprint f = shape.footprint(of, training, offered);
    f.workspace().forEach((p, bytes) -> workspace.merge(p, bytes, Math::max));
    return f;
  }
}
