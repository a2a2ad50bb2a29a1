package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.format.RowFormat;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Encodes rows in several threads. Examples, counts and problems come in the order of the rows and
 * are the same for any number of threads. What is in memory at once is bounded.
 */
public final class RowEncoding {
  private static final int ROWS_OF_A_TASK = 32;
  private static final int CHARACTERS_OF_A_TASK = 1 << 18;

  /** Of all rows that were read and are not done with, unless one alone has more. */
  private static final long CHARACTERS_AT_ONCE = 16 << 20;

  private final RowFormat format;
  private final ExampleEncoder encoder;
  private final int threads;

  /**
   * @param threads at least 1
   */
  public RowEncoding(RowFormat format, ExampleEncoder encoder, int threads) {
    if (threads < 1) {
      throw new IllegalArgumentException(threads + " threads");
    }
    this.format = format;
    this.encoder = encoder;
    this.threads = threads;
  }

  /**
   * What became of a row.
   *
   * @param row null where it could not be read
   * @param encoded null where there is a problem
   */
  private record Outcome(Row row, ExampleEncoder.Encoded encoded, InvalidInputException problem) {}

  /** Rows that were read, and how much text they hold. */
  private record Read(List<Outcome> rows, long characters) {}

  /** Rows that are encoded together. */
  private record Task(CompletableFuture<List<Outcome>> outcomes, long characters) {}

  /**
   * Encodes all rows.
   *
   * @param name of the data, for messages
   * @param rows read by the thread that calls; what its methods throw is about a row, and it goes
   *     on with the next where it can
   * @param to is given the examples, by the thread that calls
   * @return what became of every row
   * @throws InvalidInputException naming the rows that are malformed, refused or too long, see
   *     {@link RowProblems}; or where no row is left
   */
  public EncodingSummary encode(String name, Iterator<Row> rows, Consumer<Example> to) {
    EncodingCounts counts = new EncodingCounts(encoder.settings());
    RowProblems problems = new RowProblems();
    Workers workers = new Workers(threads);
    Deque<Task> tasks = new ArrayDeque<>();
    long characters = 0;
    try {
      boolean more = true;
      while (more || !tasks.isEmpty()) {
        boolean full =
            tasks.size() > 2 * threads || characters > CHARACTERS_AT_ONCE && !tasks.isEmpty();
        if (more && !full) {
          Read read = read(rows);
          more = !read.rows().isEmpty();
          characters += read.characters();
          tasks.add(new Task(workers.submit(() -> encode(read.rows())), read.characters()));
        } else {
          Task done = tasks.remove();
          characters -= done.characters();
          await(done).forEach(each -> use(each, counts, problems, to));
        }
      }
    } finally {
      workers.close();
    }
    problems.throwIfAny(name);
    return counts.summary(name);
  }

  /** The next rows, none behind the last. */
  private static Read read(Iterator<Row> rows) {
    List<Outcome> read = new ArrayList<>();
    long characters = 0;
    while (read.size() < ROWS_OF_A_TASK && characters < CHARACTERS_OF_A_TASK) {
      try {
        if (!rows.hasNext()) {
          break;
        }
        Row row = rows.next();
        characters += characters(row.columns().values());
        read.add(new Outcome(row, null, null));
      } catch (InvalidInputException e) {
        read.add(new Outcome(null, null, e));
      }
    }
    return new Read(read, characters);
  }

  private static long characters(Collection<?> values) {
    long characters = 0;
    for (Object value : values) {
      characters +=
          value instanceof String text
              ? text.length()
              : value instanceof Collection<?> list
                  ? characters(list)
                  : value instanceof Map<?, ?> map ? characters(map.values()) : 8;
    }
    return characters;
  }

  private List<Outcome> encode(List<Outcome> read) {
    List<Outcome> outcomes = new ArrayList<>(read.size());
    for (Outcome each : read) {
      outcomes.add(each.problem() == null ? encode(each.row()) : each);
    }
    return outcomes;
  }

  private Outcome encode(Row row) {
    try {
      return new Outcome(row, encoder.encoded(format.read(row)), null);
    } catch (InvalidInputException e) {
      return new Outcome(row, null, e);
    } catch (RuntimeException e) {
      throw new IllegalStateException(row.where() + ": cannot be encoded: " + e, e);
    }
  }

  private static List<Outcome> await(Task task) {
    try {
      return task.outcomes().join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw e;
    }
  }

  private static void use(
      Outcome outcome, EncodingCounts counts, RowProblems problems, Consumer<Example> to) {
    if (outcome.problem() != null) {
      problems.add(outcome.row(), outcome.problem());
      return;
    }
    try {
      counts.add(outcome.row(), outcome.encoded()).ifPresent(to);
    } catch (InvalidInputException e) {
      problems.add(outcome.row(), e);
    }
  }

  /** Threads for the tasks; a single one is the caller's own. */
  private static final class Workers implements AutoCloseable {
    private final ExecutorService pool;
    private final Executor executor;

    Workers(int threads) {
      this.pool = threads == 1 ? null : Executors.newFixedThreadPool(threads, Workers::daemon);
      this.executor = pool == null ? Runnable::run : pool;
    }

    private static Thread daemon(Runnable body) {
      Thread thread = new Thread(body, "rows");
      thread.setDaemon(true);
      return thread;
    }

    <T> CompletableFuture<T> submit(Supplier<T> task) {
      return CompletableFuture.supplyAsync(task, executor);
    }

    /** Drops what has not begun and waits for what has: the tokenizer may be closed then. */
    @Override
    public void close() {
      if (pool == null) {
        return;
      }
      pool.shutdownNow();
      boolean interrupted = false;
      boolean done = false;
      while (!done) {
        try {
          done = pool.awaitTermination(1, TimeUnit.MINUTES);
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
