package ai.nibble.train.log;

import ai.nibble.FileProblem;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What TensorBoard shows of a run, by step. Curves: {@code train/loss}, {@code
 * train/learning_rate}, {@code train/grad_norm}, {@code train/tokens_per_second}, {@code eval/loss}
 * and {@code eval/exact_match}; of preferences also {@code train/rewards/chosen} and so on, and the
 * same under {@code eval}. Distributions over the adapted modules: {@code lora/update_norm}, and by
 * the modules' last names, such as {@code lora/update_norm/q_proj}. Texts: {@code recipe},
 * resolved, and {@code answers/1} and so on, before and after training.
 *
 * <p>Every run writes a file of its own; one that resumes declares what was logged after its
 * checkpoint void. Each event is handed to the system whole and at once; a write that fails throws
 * {@link UncheckedIOException} naming the file. The package page gives the bytes.
 */
public final class TensorBoardFile implements TrainListener, AutoCloseable {
  private static final String UPDATE_NORM = "lora/update_norm";
  private static final Pattern TICKS = Pattern.compile("`+");

  private final Clock clock;
  private Path file;
  private FileChannel channel;

  private TensorBoardFile(Path file, FileChannel channel, Clock clock) {
    this.file = file;
    this.channel = channel;
    this.clock = clock;
  }

  /**
   * Begins an event file.
   *
   * @param directory the run's own folder, {@code runs/<name>}, created if absent
   * @throws IOException if the folder or the file cannot be created
   */
  public static TensorBoardFile create(Path directory) throws IOException {
    return create(directory, Clock.systemUTC(), host(), ProcessHandle.current().pid());
  }

  static TensorBoardFile create(Path directory, Clock clock, String host, long pid)
      throws IOException {
    Files.createDirectories(directory);
    String name =
        "events.out.tfevents." + clock.instant().getEpochSecond() + "." + host + "." + pid;
    for (int n = 0; ; n++) {
      Path file = directory.resolve(name + "." + n);
      try {
        FileChannel channel =
            FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        TensorBoardFile events = new TensorBoardFile(file, channel, clock);
        events.write(EventProto.fileVersion(events.now()));
        return events;
      } catch (FileAlreadyExistsException e) {
        continue; // a second run of this process within a second
      }
    }
  }

  /** This machine's name from the kernel or the environment; asking the resolver may hang. */
  private static String host() {
    String name = System.getenv().getOrDefault("HOSTNAME", "localhost");
    try {
      name = Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
    } catch (IOException e) {
      // not Linux: the environment's name will do
    }
    String safe = name.replaceAll("[^A-Za-z0-9._-]", "_");
    return safe.isEmpty() ? "localhost" : safe.substring(0, Math.min(64, safe.length()));
  }

  /** The file written. */
  public Path file() {
    return file;
  }

  @Override
  public void runStarted(RunInfo run) {
    if (run.firstStep() > 0) {
      write(EventProto.sessionStart(now(), run.firstStep() + 1));
    }
    // a fenced block, since TensorBoard renders texts as Markdown
    write(EventProto.text(now(), run.firstStep(), "recipe", "```yaml\n" + run.recipe() + "\n```"));
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    Map<String, Double> scalars = new LinkedHashMap<>();
    scalars.put("train/loss", metrics.loss());
    scalars.put("train/learning_rate", metrics.learningRate());
    scalars.put("train/grad_norm", metrics.gradNorm());
    scalars.put("train/tokens_per_second", metrics.tokensPerSecond());
    metrics.measures().forEach((name, value) -> scalars.put("train/" + name, value));
    write(EventProto.scalars(now(), metrics.step(), scalars));
  }

  @Override
  public void evaluated(EvalMetrics metrics) {
    Map<String, Double> scalars = new LinkedHashMap<>();
    scalars.put("eval/loss", metrics.evalLoss());
    metrics.measures().forEach((name, value) -> scalars.put("eval/" + name, value));
    write(EventProto.scalars(now(), metrics.step(), scalars));
  }

  @Override
  public void answered(AnswerMetrics metrics) {
    Map<String, Double> scalar = Map.of("eval/exact_match", metrics.exactMatch());
    write(EventProto.scalars(now(), metrics.step(), scalar));
  }

  @Override
  public void answersShown(AnswerSamples shown) {
    for (int i = 0; i < shown.samples().size(); i++) {
      AnswerSamples.Sample sample = shown.samples().get(i);
      String text =
          "**request**\n\n"
              + fenced(sample.request())
              + "\n\n**expected**\n\n"
              + fenced(sample.expected())
              + (sample.right() ? "\n\n**answer, right**\n\n" : "\n\n**answer, wrong**\n\n")
              + fenced(sample.answer());
      write(EventProto.text(now(), shown.step(), "answers/" + (i + 1), text));
    }
  }

  /** A block that Markdown shows as it is, whatever is in it. */
  private static String fenced(String text) {
    int longest = 2;
    for (Matcher ticks = TICKS.matcher(text); ticks.find(); ) {
      longest = Math.max(longest, ticks.end() - ticks.start());
    }
    String fence = "`".repeat(longest + 1);
    return fence + "\n" + text + "\n" + fence;
  }

  @Override
  public void updatesMeasured(UpdateNorms norms) {
    Map<String, List<Double>> groups = new TreeMap<>();
    norms
        .byModule()
        .forEach(
            (path, norm) -> {
              if (Double.isFinite(norm)) {
                String name = path.substring(path.lastIndexOf('.') + 1);
                groups.computeIfAbsent(UPDATE_NORM, key -> new ArrayList<>()).add(norm);
                groups
                    .computeIfAbsent(UPDATE_NORM + "/" + name, key -> new ArrayList<>())
                    .add(norm);
              }
            });
    if (!groups.isEmpty()) {
      Map<String, Histogram> histograms = new LinkedHashMap<>();
      groups.forEach(
          (tag, values) ->
              histograms.put(
                  tag, Histogram.of(values.stream().mapToDouble(Double::doubleValue).toArray())));
      write(EventProto.histograms(now(), norms.step(), histograms));
    }
  }

  /** With the directory the file went away: what follows is in a new one. */
  @Override
  public void noticed(RunNotice notice) {
    if (notice.kind() == RunNotice.Kind.OUTPUT) {
      try {
        TensorBoardFile anew = create(file.getParent());
        close();
        file = anew.file;
        channel = anew.channel;
      } catch (IOException e) {
        throw new UncheckedIOException(file + " cannot be begun anew: " + FileProblem.reason(e), e);
      }
    }
  }

  private double now() {
    Instant now = clock.instant();
    return now.getEpochSecond() + now.getNano() / 1e9;
  }

  private void write(byte[] event) {
    try {
      ByteBuffer record = TfRecord.of(event);
      while (record.hasRemaining()) {
        channel.write(record);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(file + " cannot be written: " + FileProblem.reason(e), e);
    }
  }

  /** Syncs the file to the disk and closes it. */
  @Override
  public void close() throws IOException {
    try (FileChannel open = channel) {
      open.force(true);
    }
  }
}
