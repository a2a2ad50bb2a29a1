package ai.nibble.train;

import ai.nibble.model.CausalLm;
import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.GradientStretch;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.DeviceLink;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntConsumer;

/**
 * The workers of a run, each with a {@link Replica} and a thread: data parallelism within one
 * process. A step's micro-batches are dealt out in stretches; their gradients meet in the first
 * worker as one {@link ai.nibble.optim.GradientTree}, so any number of workers gives the same bits.
 * The first worker has the optimizer, and its values go to the others before every pass.
 *
 * <p>On a CPU that is so with as many threads for one operation: a product may be rounded otherwise
 * by two threads than by one.
 */
public final class Workers implements AutoCloseable {
  private final List<Replica> replicas;
  private final DeviceLink link;
  private final WorkerThreads threads;
  private final LateNumbers[] late;

  /** One worker: the calling thread. */
  public static Workers alone(Replica replica) {
    return new Workers(List.of(replica), DeviceLink.between(List.of(Device.CPU)), 1);
  }

  /**
   * Workers that share the machine's threads.
   *
   * @param replicas at least one, on the CPU, or on a GPU each; they stay the caller's
   */
  public static Workers of(List<Replica> replicas) {
    List<Device> devices = replicas.stream().map(replica -> replica.model().device()).toList();
    int each = Math.max(1, Torch.threads() / replicas.size());
    return replicas.size() == 1
        ? alone(replicas.get(0))
        : new Workers(replicas, DeviceLink.between(devices), each);
  }

  /**
   * @param link between the workers, taken over
   * @param threadsEach of one operation of a worker on the CPU
   */
  Workers(List<Replica> replicas, DeviceLink link, int threadsEach) {
    this.replicas = List.copyOf(replicas);
    this.link = link;
    this.threads = new WorkerThreads(replicas.size(), threadsEach);
    this.late = new LateNumbers[replicas.size()];
    requireAlike();
  }

  private void requireAlike() {
    long expected = first().trained().parameters().numel();
    for (Replica replica : replicas) {
      ParameterSet own = replica.trained().parameters();
      if (own.numel() != expected) {
        throw new IllegalArgumentException(
            "a replica trains " + own.numel() + " values, the first one " + expected);
      }
    }
  }

  int count() {
    return replicas.size();
  }

  Replica first() {
    return replicas.get(0);
  }

  Replica get(int worker) {
    return replicas.get(worker);
  }

  /**
   * What reads a worker's losses while it computes on; freed with what it trains. Empty where they
   * are there at once.
   */
  Optional<LateNumbers> lateNumbers(int worker) {
    Replica replica = replicas.get(worker);
    Device device = replica.model().placement().of(CausalLm.HEAD);
    if (!LateNumbers.serves(device)) {
      return Optional.empty();
    }
    if (late[worker] == null) {
      late[worker] = replica.trained().parameters().own(new LateNumbers(device));
    }
    return Optional.of(late[worker]);
  }

  /** See {@link WorkerThreads#run}. */
  void run(IntConsumer body) {
    threads.run(body);
  }

  /** See {@link WorkerThreads#isFailing}. */
  boolean isFailing() {
    return threads.isFailing();
  }

  /** Gives all workers the first one's values. */
  void shareValues() {
    if (count() > 1) {
      link.broadcast(replicas.stream().map(r -> r.trained().parameters().values()).toList());
    }
  }

  /**
   * Where each worker's stretch of a step's micro-batches begins, then their number: as equal as
   * can be, the first worker's not the shorter. With fewer micro-batches than workers some have
   * none.
   */
  int[] stretches(int microBatches) {
    int[] starts = new int[count() + 1];
    for (int w = 0; w <= count(); w++) {
      starts[w] = (int) (((long) w * microBatches + count() - 1) / count());
    }
    return starts;
  }

  /** Brings the workers' sums together in the first one's, neighbours first. */
  void gather(List<? extends GradientStretch> sums) {
    for (int width = 1; width < count(); width *= 2) {
      for (int w = 0; w + width < count(); w += 2 * width) {
        append(sums, w, w + width);
      }
    }
  }

  private void append(List<? extends GradientStretch> sums, int worker, int next) {
    if (link.shares(worker, next)) {
      sums.get(worker).append(sums.get(next));
    } else {
      sums.get(worker)
          .append(
              sums.get(next), (Tensor into, Tensor from) -> link.copy(worker, into, next, from));
    }
  }

  /**
   * One line for people: who computes what, and how values get from one to another.
   *
   * @param microBatches of a step
   */
  public String description(int microBatches) {
    int[] starts = stretches(microBatches);
    List<String> each = new ArrayList<>();
    for (int w = 0; w < count(); w++) {
      each.add(starts[w + 1] - starts[w] + " on " + replicas.get(w).model().device());
    }
    return microBatches
        + " micro-batches a step: "
        + String.join(", ", each)
        + "; gradients by "
        + link.description();
  }

  @Override
  public void close() {
    threads.close();
    link.close();
  }
}
