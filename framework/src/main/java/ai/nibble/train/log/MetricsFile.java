package ai.nibble.train.log;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * {@code metrics.jsonl}: every optimizer step and evaluation as one line of JSON.
 *
 * <p>Each line is handed to the system whole and at once, so a reader or a crash sees whole lines;
 * a write that fails (a full disk) throws {@link UncheckedIOException} naming the file. The package
 * page lists the keys.
 */
public final class MetricsFile implements TrainListener, AutoCloseable {
  /** Longest line read back when resuming; ours have some 200 bytes. */
  private static final int MAX_LINE = 1 << 16;

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Path file;
  private FileChannel channel;

  MetricsFile(Path file, FileChannel channel) {
    this.file = file;
    this.channel = channel;
  }

  /**
   * Begins a new file.
   *
   * @throws InvalidInputException if there is one already
   * @throws IOException if it cannot be created
   */
  public static MetricsFile create(Path file) throws IOException {
    try {
      return new MetricsFile(
          file, FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE));
    } catch (FileAlreadyExistsException e) {
      throw new InvalidInputException(
          file + " exists, expected a new file: resume that run or choose another output_dir", e);
    }
  }

  /**
   * Continues the file of an earlier run from a checkpoint: lines of later steps, and a last line
   * that a crash tore, are cut off, since their steps are done again. A missing file is begun.
   *
   * @param step optimizer steps the checkpoint holds
   * @throws InvalidInputException if a line before that is not one of ours; nothing has changed
   *     then
   * @throws IOException if it cannot be read or written
   */
  public static MetricsFile resume(Path file, int step) throws IOException {
    if (!Files.exists(file)) {
      return create(file);
    }
    long keep = lengthUpTo(file, step);
    FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
    try {
      channel.truncate(keep);
      channel.position(keep);
      return new MetricsFile(file, channel);
    } catch (IOException e) {
      channel.close();
      throw e;
    }
  }

  private static long lengthUpTo(Path file, int step) throws IOException {
    try (InputStream in = new BufferedInputStream(Files.newInputStream(file))) {
      long keep = 0;
      for (int number = 1; ; number++) {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        int b;
        while ((b = in.read()) >= 0 && b != '\n' && line.size() < MAX_LINE) {
          line.write(b);
        }
        if (b < 0) {
          return keep; // the end, or a torn line
        }
        JsonNode at = stepOf(line.toByteArray());
        if (b != '\n' || !at.isInt()) {
          throw new InvalidInputException(
              file
                  + ":"
                  + number
                  + ": not a line of metrics, expected an object with 'step': move the file away");
        }
        if (at.intValue() > step) {
          return keep;
        }
        keep += line.size() + 1;
      }
    }
  }

  private static JsonNode stepOf(byte[] line) throws IOException {
    try {
      return JSON.readTree(line).path("step");
    } catch (JsonProcessingException e) {
      return JsonNodeFactory.instance.missingNode();
    }
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    ObjectNode json = JSON.createObjectNode();
    json.put("step", metrics.step());
    json.put("epoch", metrics.epoch());
    json.put("loss", metrics.loss());
    json.put("learning_rate", metrics.learningRate());
    json.put("grad_norm", metrics.gradNorm());
    json.put("tokens_per_second", metrics.tokensPerSecond());
    json.put("memory", metrics.memoryBytes());
    json.put("tokens", metrics.tokens());
    metrics.measures().forEach(json::put);
    write(json);
  }

  @Override
  public void evaluated(EvalMetrics metrics) {
    ObjectNode json = JSON.createObjectNode();
    json.put("step", metrics.step());
    json.put("epoch", metrics.epoch());
    json.put("eval_loss", metrics.evalLoss());
    json.put("eval_tokens", metrics.tokens());
    json.put("eval_seconds", metrics.seconds());
    metrics.measures().forEach((name, value) -> json.put("eval_" + name, value));
    write(json);
  }

  @Override
  public void answered(AnswerMetrics metrics) {
    ObjectNode json = JSON.createObjectNode();
    json.put("step", metrics.step());
    json.put("exact_match", metrics.exactMatch());
    json.put("exact_rows", metrics.right());
    json.put("answer_rows", metrics.rows());
    json.put("answer_tokens", metrics.tokens());
    json.put("answer_seconds", metrics.seconds());
    write(json);
  }

  /** With the directory the file went away: what follows is in a new one. */
  @Override
  public void noticed(RunNotice notice) {
    if (notice.kind() == RunNotice.Kind.OUTPUT) {
      beginAnew();
    }
    ObjectNode json = JSON.createObjectNode();
    json.put("step", notice.step());
    json.put("notice", notice.kind().word());
    json.put("text", notice.text());
    write(json);
  }

  private void beginAnew() {
    try {
      FileChannel anew =
          FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
      close();
      channel = anew;
    } catch (IOException e) {
      throw new UncheckedIOException(file + " cannot be begun anew: " + FileProblem.reason(e), e);
    }
  }

  private void write(ObjectNode json) {
    try {
      // Jackson quotes what is not finite
      String line = JSON.writeValueAsString(json) + "\n";
      ByteBuffer bytes = ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8));
      while (bytes.hasRemaining()) {
        channel.write(bytes);
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
