package ai.nibble.data.parquet;

import ai.nibble.InvalidInputException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDate;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Function;
import org.apache.parquet.column.Dictionary;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.PrimitiveConverter;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.DateLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.DecimalLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.Float16LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.IntLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.StringLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimeLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimeUnit;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimestampLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.UUIDLogicalTypeAnnotation;
import org.apache.parquet.schema.PrimitiveType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;

/** The values of a column, as JSON would have them. */
final class PrimitiveValue {
  private static final long JULIAN_DAY_OF_1970 = 2_440_588;

  private PrimitiveValue() {}

  static PrimitiveConverter converter(PrimitiveType type, Consumer<Object> to) {
    return switch (type.getPrimitiveTypeName()) {
      case BINARY, FIXED_LEN_BYTE_ARRAY, INT96 -> new OfBytes(ofBytes(type), to);
      default -> new OfNumber(ofLong(type), to);
    };
  }

  /** Numbers, which are made anew each time. */
  private static final class OfNumber extends PrimitiveConverter {
    private final Function<Long, Object> value;
    private final Consumer<Object> to;

    OfNumber(Function<Long, Object> value, Consumer<Object> to) {
      this.value = value;
      this.to = to;
    }

    @Override
    public void addBoolean(boolean given) {
      to.accept(given);
    }

    @Override
    public void addDouble(double given) {
      to.accept(given);
    }

    @Override
    public void addFloat(float given) {
      to.accept(Double.parseDouble(Float.toString(given))); // 0.1f is 0.1, as JSON would say
    }

    @Override
    public void addInt(int given) {
      to.accept(value.apply((long) given));
    }

    @Override
    public void addLong(long given) {
      to.accept(value.apply(given));
    }
  }

  /** Bytes, of which those in a dictionary are read once and shared. */
  private static final class OfBytes extends PrimitiveConverter {
    private final Function<Binary, Object> value;
    private final Consumer<Object> to;
    private Object[] dictionary;

    OfBytes(Function<Binary, Object> value, Consumer<Object> to) {
      this.value = value;
      this.to = to;
    }

    @Override
    public boolean hasDictionarySupport() {
      return true;
    }

    @Override
    public void setDictionary(Dictionary given) {
      dictionary = new Object[given.getMaxId() + 1];
      for (int i = 0; i < dictionary.length; i++) {
        dictionary[i] = value.apply(given.decodeToBinary(i));
      }
    }

    @Override
    public void addValueFromDictionary(int id) {
      to.accept(dictionary[id]);
    }

    @Override
    public void addBinary(Binary given) {
      to.accept(value.apply(given));
    }
  }

  private static Function<Long, Object> ofLong(PrimitiveType type) {
    LogicalTypeAnnotation annotation = type.getLogicalTypeAnnotation();
    if (annotation instanceof DateLogicalTypeAnnotation) {
      return days -> LocalDate.ofEpochDay(days).toString();
    }
    if (annotation instanceof TimestampLogicalTypeAnnotation time) {
      return units -> timestamp(units, time.getUnit(), time.isAdjustedToUTC());
    }
    if (annotation instanceof TimeLogicalTypeAnnotation time) {
      long nanos = 1_000_000_000L / perSecond(time.getUnit());
      return units ->
          local(Instant.ofEpochSecond(0, units * nanos)).substring("1970-01-01T".length());
    }
    if (annotation instanceof DecimalLogicalTypeAnnotation decimal) {
      return units -> BigDecimal.valueOf(units, decimal.getScale());
    }
    if (annotation instanceof IntLogicalTypeAnnotation whole && !whole.isSigned()) {
      boolean isInt = type.getPrimitiveTypeName() == PrimitiveTypeName.INT32;
      return units -> isInt ? narrow(units & 0xffff_ffffL) : unsigned(units);
    }
    return PrimitiveValue::narrow;
  }

  /** Of the type that JSON's parser would have made of it. */
  private static Object narrow(long value) {
    return value == (int) value ? (Object) (int) value : (Object) value;
  }

  private static Object unsigned(long value) {
    return value >= 0 ? narrow(value) : new BigInteger(Long.toUnsignedString(value));
  }

  private static long perSecond(TimeUnit unit) {
    return switch (unit) {
      case MILLIS -> 1_000;
      case MICROS -> 1_000_000;
      case NANOS -> 1_000_000_000;
    };
  }

  private static String timestamp(long units, TimeUnit unit, boolean isUtc) {
    long second = perSecond(unit);
    Instant instant =
        Instant.ofEpochSecond(
            Math.floorDiv(units, second), Math.floorMod(units, second) * (1_000_000_000L / second));
    return isUtc ? instant.toString() : local(instant);
  }

  /** Without its time zone; the fraction of a second has no, 3, 6 or 9 digits. */
  private static String local(Instant instant) {
    String utc = instant.toString();
    return utc.substring(0, utc.length() - 1);
  }

  private static Function<Binary, Object> ofBytes(PrimitiveType type) {
    LogicalTypeAnnotation annotation = type.getLogicalTypeAnnotation();
    if (type.getPrimitiveTypeName() == PrimitiveTypeName.INT96) {
      return bytes -> int96(bytes.toByteBuffer());
    }
    if (annotation instanceof StringLogicalTypeAnnotation) {
      return bytes -> text(type.getName(), bytes);
    }
    if (annotation instanceof DecimalLogicalTypeAnnotation decimal) {
      return bytes -> new BigDecimal(new BigInteger(bytes.getBytes()), decimal.getScale());
    }
    if (annotation instanceof UUIDLogicalTypeAnnotation) {
      return bytes -> {
        ByteBuffer buffer = bytes.toByteBuffer();
        return new UUID(buffer.getLong(), buffer.getLong()).toString();
      };
    }
    if (annotation instanceof Float16LogicalTypeAnnotation) {
      return bytes -> float16(bytes.toByteBuffer().order(ByteOrder.LITTLE_ENDIAN).getShort());
    }
    return Binary::getBytes;
  }

  private static String text(String column, Binary bytes) {
    try {
      // a new decoder reports malformed bytes instead of replacing them
      return StandardCharsets.UTF_8.newDecoder().decode(bytes.toByteBuffer()).toString();
    } catch (CharacterCodingException e) {
      throw new InvalidInputException("column '" + column + "' is not valid UTF-8", e);
    }
  }

  /** The time stamp of old writers: nanoseconds of the day, then the Julian day. */
  private static String int96(ByteBuffer bytes) {
    bytes.order(ByteOrder.LITTLE_ENDIAN);
    long nanos = bytes.getLong();
    long day = bytes.getInt() - JULIAN_DAY_OF_1970;
    return Instant.ofEpochSecond(Math.multiplyExact(day, 86_400L), nanos).toString();
  }

  /** IEEE 754 half precision: 1 bit of sign, 5 of exponent, 10 of mantissa. */
  private static double float16(short bits) {
    int exponent = bits >> 10 & 31;
    int mantissa = bits & 1023;
    double size =
        exponent == 31
            ? mantissa == 0 ? Double.POSITIVE_INFINITY : Double.NaN
            : exponent == 0
                ? Math.scalb((double) mantissa, -24)
                : Math.scalb(1024.0 + mantissa, exponent - 25);
    return bits < 0 ? -size : size;
  }
}
