package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedChannelException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TensorBoardFileTest {
  private static final Clock CLOCK =
      Clock.fixed(Instant.ofEpochMilli(1_700_000_000_250L), ZoneOffset.UTC);

  @TempDir private Path directory;

  private TensorBoardFile create() throws IOException {
    return TensorBoardFile.create(directory.resolve("runs/a"), CLOCK, "host", 42);
  }

  /** golden.py wrote the same events with TensorBoard's own messages and record writer. */
  @Test
  void theBytesAreTensorBoardsOwn() throws Exception {
    Path file;
    try (TensorBoardFile events = create()) {
      file = events.file();
      events.runStarted(
          new RunInfo("a", 7, 300, "base_model: gr\u00f6\u00dfe\nlearning_rate: 2e-4"));
      events.stepEnded(new StepMetrics(300, 300, 1, 1.25, 2e-4, Double.NaN, 1234.5, 1L << 30, 999));
      events.evaluated(new EvalMetrics(300, 1, 0.5, 100, 2));
      Map<String, Double> norms = new LinkedHashMap<>();
      norms.put("model.layers.0.self_attn.q_proj", 0.25);
      norms.put("model.layers.0.self_attn.k_proj", 1.75);
      norms.put("model.layers.0.self_attn.v_proj", Double.NaN);
      events.updatesMeasured(new UpdateNorms(300, norms));
      AnswerSamples.Sample sample =
          new AnswerSamples.Sample("r\u00f6d?", "```red```", "</script>", false);
      events.answersShown(new AnswerSamples(300, List.of(sample)));
    }
    try (InputStream in = getClass().getResourceAsStream("golden.tfevents")) {
      assertArrayEquals(in.readAllBytes(), Files.readAllBytes(file));
    }
  }

  @Test
  void theNameHoldsTheTimeHostAndProcess() throws Exception {
    try (TensorBoardFile first = create();
        TensorBoardFile second = create()) {
      Path run = directory.resolve("runs/a");
      assertEquals(run.resolve("events.out.tfevents.1700000000.host.42.0"), first.file());
      assertEquals(run.resolve("events.out.tfevents.1700000000.host.42.1"), second.file());
    }
    try (TensorBoardFile real = TensorBoardFile.create(directory.resolve("runs/b"))) {
      String name = real.file().getFileName().toString();
      assertTrue(
          name.matches("events\\.out\\.tfevents\\.\\d{10,}\\.[A-Za-z0-9._-]+\\.\\d+\\.0"), name);
    }
  }

  @Test
  void aNewRunVoidsNothing() throws Exception {
    Path file;
    try (TensorBoardFile events = create()) {
      file = events.file();
      events.runStarted(new RunInfo("a", 0, 3, "seed: 1"));
    }
    assertEquals(2, records(Files.readAllBytes(file))); // the version and the text
  }

  /** Every record is in the file as soon as it was logged, framed as TFRecord demands. */
  @Test
  void everyEventIsWholeAtOnce() throws Exception {
    try (TensorBoardFile events = create()) {
      for (int step = 1; step <= 20; step++) {
        events.stepEnded(new StepMetrics(step, 20, 0, step, 0, 0, 0, 0, 0));
        assertEquals(step + 1, records(Files.readAllBytes(events.file())));
      }
    }
  }

  @Test
  void aFailedWriteIsNotSwallowed() throws Exception {
    TensorBoardFile events = create();
    events.close();
    Exception e =
        assertThrows(
            UncheckedIOException.class, () -> events.evaluated(new EvalMetrics(1, 0, 0, 0, 0)));
    assertTrue(e.getMessage().startsWith(events.file() + " cannot be written"), e.getMessage());
    assertTrue(e.getCause() instanceof ClosedChannelException);
  }

  @Test
  void theChecksumIsCastagnolis() {
    byte[] digits = "123456789".getBytes(StandardCharsets.US_ASCII);
    assertEquals(0xe3069283, crc32c(digits, 0, 9)); // the check value of the catalogue of CRCs
    int masked = ((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8;
    assertEquals(masked, TfRecord.maskedCrc(digits, 0, 9));
  }

  /** Counts records and checks their frames, bit by bit where the writer uses the JDK's CRC. */
  private static int records(byte[] bytes) {
    ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int count = 0;
    while (in.hasRemaining()) {
      int start = in.position();
      int length = (int) in.getLong();
      int lengthCrc = crc32c(bytes, start, 8);
      assertEquals(Integer.rotateRight(lengthCrc, 15) + 0xa282ead8, in.getInt());
      int dataCrc = crc32c(bytes, in.position(), length);
      in.position(in.position() + length);
      assertEquals(Integer.rotateRight(dataCrc, 15) + 0xa282ead8, in.getInt());
      count++;
    }
    return count;
  }

  private static int crc32c(byte[] data, int offset, int length) {
    int crc = -1;
    for (int i = offset; i < offset + length; i++) {
      crc ^= data[i] & 0xff;
      for (int bit = 0; bit < 8; bit++) {
        crc = (crc >>> 1) ^ ((crc & 1) == 0 ? 0 : 0x82f63b78);
      }
    }
    return ~crc;
  }
}
