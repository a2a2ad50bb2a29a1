package ai.nibble.train.log;

import ai.nibble.InvalidInputException;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.ParseException;
import jdk.jfr.Configuration;
import jdk.jfr.FlightRecorder;
import jdk.jfr.Recording;

/**
 * A recording of the Flight Recorder with the JDK's {@code default} settings, meant to be left on:
 * they cost about a hundredth. Written when closed, and where the virtual machine ends first, as it
 * ends.
 */
public final class JfrRecording implements Closeable {
  private final Recording recording;
  private final Path file;

  private JfrRecording(Recording recording, Path file) {
    this.recording = recording;
    this.file = file;
  }

  /**
   * Starts one.
   *
   * @param directory gets {@code recording.jfr}, or where there is one {@code recording-2.jfr} and
   *     so on
   * @throws InvalidInputException if this Java has no Flight Recorder
   * @throws IOException if the file cannot be written
   */
  public static JfrRecording start(Path directory) throws IOException {
    Path file = directory.resolve("recording.jfr");
    for (int n = 2; Files.exists(file); n++) {
      file = directory.resolve("recording-" + n + ".jfr");
    }
    try {
      if (!FlightRecorder.isAvailable()) {
        throw new InvalidInputException("jfr: this Java's Flight Recorder is switched off");
      }
      Recording recording = new Recording(Configuration.getConfiguration("default"));
      recording.setName("nibble");
      recording.setDestination(file);
      recording.setDumpOnExit(true);
      recording.start();
      return new JfrRecording(recording, file);
    } catch (ParseException | LinkageError e) {
      throw new InvalidInputException(
          "jfr: this Java has no Flight Recorder (" + e + "): leave it out of report_to", e);
    }
  }

  /** The file that will be written. */
  public Path file() {
    return file;
  }

  @Override
  public void close() {
    recording.stop();
    recording.close();
  }
}
