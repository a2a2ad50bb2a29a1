package ai.nibble.model;

import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.HeadWeight;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.TokenPass;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;

/**
 * A model made ready to compute token after token. Weights of 8 bits are read as they lie, those of
 * 4 bits where the machine can ({@link ai.nibble.quant.PackedProduct}). Others that would have to
 * be dequantised or converted for every token are kept in the dtype of products, with their
 * adapters, as far as a bound on memory allows; those that the model {@linkplain
 * CausalLm#keepDequantized keeps} anyway are kept. One decoder at a time on a model; while it is
 * open, adapters are attached and taken off only between passes, and {@link #adaptersChanged} is
 * called after.
 */
public final class Decoder implements AutoCloseable {
  private final CausalLm model;
  private final List<LinearGroup> packed = new ArrayList<>();
  private final List<LinearGroup> kept = new ArrayList<>();

  /** Of those that are kept, the ones that are no longer once this is closed. */
  private final List<LinearGroup> own = new ArrayList<>();

  private final Map<Device, Long> keptOn = new HashMap<>();
  private final ToLongFunction<Device> most;
  private HeadWeight headWeight;
  private boolean hadRows;
  private DenseWeight embedding;
  private Tensor head;
  private TokenPass tokenPass;

  /**
   * @param model computes as always once this is closed
   * @param weightBytes most bytes of weights to keep on a device: the output head first, then layer
   *     by layer
   */
  public Decoder(CausalLm model, long weightBytes) {
    this(model, device -> weightBytes);
  }

  /**
   * @param model computes as always once this is closed
   * @param weightBytes the same by device
   */
  public Decoder(CausalLm model, ToLongFunction<Device> weightBytes) {
    this.model = model;
    this.most = weightBytes;
    try {
      openHead();
      for (LinearGroup group : model.groups()) {
        Precision precision = model.precision(group);
        long bytes = group.keptBytes(precision);
        if (group.canReadPacked(precision)) {
          packed.add(group);
          group.readPacked(precision);
          keep(group.device(), group.packedBytes(precision));
        } else if (group.keepsWeights()) {
          kept.add(group);
          group.fixAdapters();
        } else if (keptOn(group.device()) + bytes <= most.applyAsLong(group.device())) {
          own.add(group);
          kept.add(group);
          group.keepWeights(precision);
          group.fixAdapters();
          keep(group.device(), bytes);
        }
      }
      tokenPass = head == null ? null : model.tokenPass(head).orElse(null);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private long keptOn(Device device) {
    return keptOn.getOrDefault(device, 0L);
  }

  private void keep(Device device, long bytes) {
    keptOn.merge(device, bytes, Long::sum);
  }

  /** The head that the model computes with now, if there is room for a copy of it. */
  private void openHead() {
    closeHead();
    headWeight = model.headWeight();
    hadRows = headWeight.hasTrainedRows();
    Device headDevice = headDevice();
    embedding = model.table(CausalLm.EMBEDDING);
    head = headWeight.copyBytes() <= most.applyAsLong(headDevice) ? headWeight.open() : null;
    if (head != null) {
      keep(headDevice, headWeight.copyBytes());
    }
  }

  private Device headDevice() {
    return model.placement().head(model.config());
  }

  private void closeHead() {
    tokenPass = null;
    if (head != null) {
      head.close();
      head = null;
      keep(headDevice(), -headWeight.copyBytes());
    }
  }

  public CausalLm model() {
    return model;
  }

  /** Whether tokens of a sequence by itself go through the layers in one parallel region. */
  boolean hasTokenPass() {
    return tokenPass != null;
  }

  /** Bytes of weights and copies of adapters kept, beyond those of the model. */
  public long keptBytes() {
    return keptOn.values().stream().mapToLong(Long::longValue).sum();
  }

  /** One line that says what is read quantised or kept, for people. */
  public String description() {
    int others = model.groups().size() - packed.size();
    String megabytes = String.format(Locale.ROOT, "%.0f MB", keptBytes() / 1e6);
    String anew = "made anew for every token, as memory is short";
    String head = this.head == null ? "; the output head is " + anew : "";
    if (others == 0) {
      return "generation reads the weights as they lie in "
          + packed.get(0).packedBits()
          + " bits"
          + (keptBytes() > 0 ? ", and keeps beside them " + megabytes : "")
          + head;
    }
    String some =
        packed.isEmpty()
            ? ""
            : packed.size()
                + " of "
                + model.groups().size()
                + " groups of weights are read in "
                + packed.get(0).packedBits()
                + " bits; ";
    String dtype = model.precision().product().torchName();
    if (kept.size() == others) {
      String which = packed.isEmpty() ? "the weights" : "the others";
      return some + "generation keeps " + which + " in " + dtype + ": " + megabytes + head;
    }
    String of = packed.isEmpty() ? " groups of weights" : " others";
    return some
        + "generation keeps "
        + kept.size()
        + " of "
        + others
        + of
        + " in "
        + dtype
        + " ("
        + megabytes
        + "); the rest are "
        + anew
        + head;
  }

  /** Takes in that adapters were attached or taken off: cheap, the base's weights stay. */
  public void adaptersChanged() {
    own.forEach(group -> group.keepWeights(model.precision(group)));
    kept.forEach(LinearGroup::fixAdapters);
    packed.forEach(group -> group.readPacked(model.precision(group)));
    boolean rows = hadRows || headWeight.hasTrainedRows();
    boolean same =
        model.headWeight().equals(headWeight)
            && model.table(CausalLm.EMBEDDING) == embedding
            && !rows;
    if (!same) {
      openHead();
    }
    // it holds the adapters of embedding and head
    tokenPass = head == null ? null : model.tokenPass(head).orElse(null);
  }

  /** Room for a sequence; the caller closes it. */
  public KvCache cache(int capacity) {
    ModelConfig c = model.config();
    return new KvCache(
        IntStream.range(0, c.numHiddenLayers())
            .mapToObj(i -> model.placement().of(Placement.layer(i)))
            .toList(),
        c.numKeyValueHeads(),
        c.headDim(),
        capacity,
        model.precision().compute());
  }

  /**
   * Computes some sequences' new tokens, which join the caches.
   *
   * @param tokens of each sequence, at least one: what comes after those that its cache holds
   * @param caches of the sequences, in the same order
   * @return logits of what comes after each sequence, float32 {@code [sequences, vocabulary]} on
   *     the CPU; the caller closes them
   */
  public Tensor next(List<int[]> tokens, List<KvCache> caches) {
    List<int[]> due = new ArrayList<>();
    for (int s = 0; s < caches.size(); s++) {
      due.add(due(tokens.get(s), caches.get(s)));
    }
    return compute(due, caches);
  }

  /**
   * What is to be computed of a sequence: its new tokens, or all of it where a cache is of no use.
   * LongRoPE rotates all of a sequence otherwise once it is longer than some length, and with the
   * first layer's attention all that follows is another.
   */
  private int[] due(int[] tokens, KvCache cache) {
    int held = cache.length();
    int before = cache.computedAt();
    cache.note(tokens);
    if (held == 0
        || !(model.config().ropeScaling() instanceof RopeScaling.LongRope rope)
        || rope.isLong(before) == rope.isLong(held + tokens.length)) {
      return tokens;
    }
    int[] all = Arrays.copyOf(cache.tokens(), held + tokens.length);
    System.arraycopy(tokens, 0, all, held, tokens.length);
    cache.truncate(0);
    cache.note(all);
    return all;
  }

  private Tensor compute(List<int[]> tokens, List<KvCache> caches) {
    if (tokenPass != null
        && tokens.size() == 1
        && tokens.get(0).length == 1
        && TokenPass.takes(caches.get(0))) {
      model.requireInVocabulary(tokens.get(0));
      Tensor logits = tokenPass.logits(tokens.get(0)[0], caches.get(0));
      caches.get(0).advance(1);
      return logits;
    }
    return nextOfAll(tokens, caches);
  }

  private Tensor nextOfAll(List<int[]> tokens, List<KvCache> caches) {
    int[] starts = new int[tokens.size() + 1];
    int[] last = new int[tokens.size()];
    for (int s = 0; s < last.length; s++) {
      starts[s + 1] = starts[s] + tokens.get(s).length;
      last[s] = starts[s + 1] - 1;
    }
    int[] ids = tokens.stream().flatMapToInt(Arrays::stream).toArray();
    Pass pass = Pass.cached(caches, starts);
    Tensor logits =
        head == null ? model.logits(ids, pass, last) : model.logits(ids, pass, last, head);
    for (int s = 0; s < last.length; s++) {
      caches.get(s).advance(tokens.get(s).length);
    }
    if (logits.device().isCpu()) {
      return logits;
    }
    try (logits) {
      return logits.to(Device.CPU);
    }
  }

  @Override
  public void close() {
    packed.forEach(LinearGroup::dropPacked);
    packed.clear();
    kept.forEach(LinearGroup::freeAdapters);
    kept.clear();
    own.forEach(LinearGroup::dropWeights);
    own.clear();
    closeHead();
  }
}
