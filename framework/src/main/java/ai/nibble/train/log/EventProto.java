package ai.nibble.train.log;

import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * TensorBoard's events as protocol buffers, written field by field: six small messages do not earn
 * a code generator in the build. The package page lists the fields.
 */
final class EventProto {
  private static final int DT_STRING = 7;
  private static final int SESSION_START = 1;

  private EventProto() {}

  /** The writing of one message's fields. */
  @FunctionalInterface
  private interface Fields {
    void write(CodedOutputStream out) throws IOException;
  }

  /** The event every file begins with. */
  static byte[] fileVersion(double wallTime) {
    return event(wallTime, 0, out -> out.writeString(3, "brain.Event:2"));
  }

  /** Makes void what earlier files of the run say of this step and later ones. */
  static byte[] sessionStart(double wallTime, long step) {
    byte[] session = message(out -> out.writeEnum(1, SESSION_START));
    return event(wallTime, step, out -> out.writeByteArray(7, session));
  }

  /** Numbers by tag, in the map's order. */
  static byte[] scalars(double wallTime, long step, Map<String, Double> scalars) {
    byte[] summary =
        message(
            out -> {
              for (Map.Entry<String, Double> scalar : scalars.entrySet()) {
                out.writeByteArray(
                    1,
                    message(
                        value -> {
                          value.writeString(1, scalar.getKey());
                          value.writeFloat(2, scalar.getValue().floatValue());
                        }));
              }
            });
    return event(wallTime, step, out -> out.writeByteArray(5, summary));
  }

  /** A text of TensorBoard's text plugin: a string tensor of shape [1]. */
  static byte[] text(double wallTime, long step, String tag, String text) {
    byte[] dim = message(out -> out.writeInt64(1, 1));
    byte[] shape = message(out -> out.writeByteArray(2, dim));
    byte[] tensor =
        message(
            out -> {
              out.writeEnum(1, DT_STRING);
              out.writeByteArray(2, shape);
              out.writeByteArray(8, text.getBytes(StandardCharsets.UTF_8));
            });
    byte[] plugin = message(out -> out.writeString(1, "text"));
    byte[] metadata = message(out -> out.writeByteArray(1, plugin));
    byte[] value =
        message(
            out -> {
              out.writeString(1, tag + "/text_summary"); // the ending torch gives its texts
              out.writeByteArray(8, tensor);
              out.writeByteArray(9, metadata);
            });
    byte[] summary = message(out -> out.writeByteArray(1, value));
    return event(wallTime, step, out -> out.writeByteArray(5, summary));
  }

  /** Distributions by tag, in the map's order. */
  static byte[] histograms(double wallTime, long step, Map<String, Histogram> histograms) {
    byte[] summary =
        message(
            out -> {
              for (Map.Entry<String, Histogram> each : histograms.entrySet()) {
                byte[] histogram = histogram(each.getValue());
                out.writeByteArray(
                    1,
                    message(
                        value -> {
                          value.writeString(1, each.getKey());
                          value.writeByteArray(5, histogram);
                        }));
              }
            });
    return event(wallTime, step, out -> out.writeByteArray(5, summary));
  }

  private static byte[] histogram(Histogram h) {
    return message(
        out -> {
          double[] scalars = {h.min(), h.max(), h.values().length, h.sum(), h.sumSquares()};
          for (int i = 0; i < scalars.length; i++) {
            if (Double.doubleToRawLongBits(scalars[i]) != 0) { // proto3 leaves defaults out
              out.writeDouble(i + 1, scalars[i]);
            }
          }
          out.writeByteArray(6, packed(h.limits()));
          out.writeByteArray(7, packed(h.counts()));
        });
  }

  /** A repeated field of doubles, which proto3 packs into one. */
  private static byte[] packed(double[] values) {
    return message(
        out -> {
          for (double value : values) {
            out.writeDoubleNoTag(value);
          }
        });
  }

  private static byte[] event(double wallTime, long step, Fields what) {
    return message(
        out -> {
          out.writeDouble(1, wallTime);
          if (step != 0) { // proto3 leaves defaults out
            out.writeInt64(2, step);
          }
          what.write(out);
        });
  }

  private static byte[] message(Fields fields) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      CodedOutputStream out = CodedOutputStream.newInstance(bytes);
      fields.write(out);
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }
}
