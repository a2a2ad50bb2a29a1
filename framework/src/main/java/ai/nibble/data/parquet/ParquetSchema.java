package ai.nibble.data.parquet;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.parquet.format.ConvertedType;
import org.apache.parquet.format.LogicalType;
import org.apache.parquet.format.SchemaElement;
import org.apache.parquet.format.TimeUnit;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Type.Repetition;
import org.apache.parquet.schema.Types;

/** A footer's schema, a tree flattened in depth-first order, as parquet-column takes it. */
final class ParquetSchema {
  private static final int MOST_ELEMENTS = 10_000;
  private static final int DEEPEST = 64;

  private final List<SchemaElement> elements;
  private int next;

  private ParquetSchema(List<SchemaElement> elements) {
    this.elements = elements;
  }

  /**
   * @throws InvalidInputException without the file's name, where it is no tree
   */
  static MessageType of(List<SchemaElement> elements) {
    if (elements.isEmpty() || elements.size() > MOST_ELEMENTS) {
      throw new InvalidInputException("is damaged: its schema has " + elements.size() + " fields");
    }
    ParquetSchema schema = new ParquetSchema(elements);
    SchemaElement root = elements.get(schema.next++);
    try {
      List<Type> fields = schema.fields(root, 0);
      if (schema.next != elements.size()) {
        throw new InvalidInputException("is damaged: its schema has fields of nothing");
      }
      return new MessageType("row", fields);
    } catch (InvalidInputException e) {
      throw e;
    } catch (RuntimeException e) { // what a type's builder refuses
      throw new InvalidInputException("is damaged: its schema: " + e.getMessage(), e);
    }
  }

  private List<Type> fields(SchemaElement parent, int depth) {
    int count = parent.getNum_children();
    if (count < 1 || count > elements.size() - next || depth > DEEPEST) {
      throw new InvalidInputException(
          "is damaged: '" + parent.getName() + "' in its schema has " + count + " fields");
    }
    List<Type> fields = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (int i = 0; i < count; i++) {
      if (next == elements.size()) {
        throw new InvalidInputException("is damaged: its schema breaks off");
      }
      Type field = field(elements.get(next++), depth + 1);
      if (!names.add(field.getName())) {
        throw new InvalidInputException("has two columns '" + field.getName() + "': rename one");
      }
      fields.add(field);
    }
    return fields;
  }

  private Type field(SchemaElement element, int depth) {
    Repetition repetition = Repetition.valueOf(element.getRepetition_type().name());
    if (element.isSetNum_children() && element.getNum_children() > 0) {
      Type[] fields = fields(element, depth).toArray(Type[]::new);
      return Types.buildGroup(repetition)
          .as(groupAnnotation(element))
          .addFields(fields)
          .named(element.getName());
    }
    PrimitiveTypeName type = PrimitiveTypeName.valueOf(name(element.getType().name()));
    LogicalTypeAnnotation annotation = annotation(element);
    Types.PrimitiveBuilder<? extends Type> builder = Types.primitive(type, repetition);
    if (element.isSetType_length()) {
      builder = builder.length(element.getType_length());
    }
    return builder.as(annotation).named(element.getName());
  }

  /** Two names differ between the format and the library. */
  private static String name(String type) {
    return type.equals("BYTE_ARRAY") ? "BINARY" : type;
  }

  private static LogicalTypeAnnotation groupAnnotation(SchemaElement element) {
    LogicalType logical = element.getLogicalType();
    ConvertedType converted = element.getConverted_type();
    if (logical != null && logical.isSetLIST() || converted == ConvertedType.LIST) {
      return LogicalTypeAnnotation.listType();
    }
    boolean map = converted == ConvertedType.MAP || converted == ConvertedType.MAP_KEY_VALUE;
    boolean entry = element.getRepetition_type().name().equals("REPEATED");
    return (logical != null && logical.isSetMAP() || map) && !entry
        ? LogicalTypeAnnotation.mapType()
        : null;
  }

  private static LogicalTypeAnnotation annotation(SchemaElement element) {
    LogicalType logical = element.getLogicalType();
    if (logical == null) {
      return element.isSetConverted_type() ? converted(element) : null;
    }
    if (logical.isSetSTRING() || logical.isSetENUM() || logical.isSetJSON()) {
      return LogicalTypeAnnotation.stringType();
    }
    if (logical.isSetDECIMAL()) {
      return LogicalTypeAnnotation.decimalType(
          logical.getDECIMAL().getScale(), logical.getDECIMAL().getPrecision());
    }
    if (logical.isSetTIMESTAMP()) {
      return LogicalTypeAnnotation.timestampType(
          logical.getTIMESTAMP().isIsAdjustedToUTC(), unit(logical.getTIMESTAMP().getUnit()));
    }
    if (logical.isSetTIME()) {
      return LogicalTypeAnnotation.timeType(
          logical.getTIME().isIsAdjustedToUTC(), unit(logical.getTIME().getUnit()));
    }
    if (logical.isSetINTEGER()) {
      return LogicalTypeAnnotation.intType(
          logical.getINTEGER().getBitWidth(), logical.getINTEGER().isIsSigned());
    }
    return logical.isSetDATE()
        ? LogicalTypeAnnotation.dateType()
        : logical.isSetUUID()
            ? LogicalTypeAnnotation.uuidType()
            : logical.isSetFLOAT16() ? LogicalTypeAnnotation.float16Type() : null;
  }

  private static LogicalTypeAnnotation.TimeUnit unit(TimeUnit unit) {
    return unit.isSetMILLIS()
        ? LogicalTypeAnnotation.TimeUnit.MILLIS
        : unit.isSetMICROS()
            ? LogicalTypeAnnotation.TimeUnit.MICROS
            : LogicalTypeAnnotation.TimeUnit.NANOS;
  }

  /** The annotations of the format's first version. */
  private static LogicalTypeAnnotation converted(SchemaElement element) {
    ConvertedType type = element.getConverted_type();
    return switch (type) {
      case UTF8, ENUM, JSON -> LogicalTypeAnnotation.stringType();
      case DECIMAL -> LogicalTypeAnnotation.decimalType(element.getScale(), element.getPrecision());
      case DATE -> LogicalTypeAnnotation.dateType();
      case TIME_MILLIS ->
          LogicalTypeAnnotation.timeType(true, LogicalTypeAnnotation.TimeUnit.MILLIS);
      case TIME_MICROS ->
          LogicalTypeAnnotation.timeType(true, LogicalTypeAnnotation.TimeUnit.MICROS);
      case TIMESTAMP_MILLIS ->
          LogicalTypeAnnotation.timestampType(true, LogicalTypeAnnotation.TimeUnit.MILLIS);
      case TIMESTAMP_MICROS ->
          LogicalTypeAnnotation.timestampType(true, LogicalTypeAnnotation.TimeUnit.MICROS);
      case UINT_8, UINT_16, UINT_32, UINT_64 ->
          LogicalTypeAnnotation.intType(Integer.parseInt(type.name().substring(5)), false);
      default -> null;
    };
  }

  /** A type in words, for example {@code list<struct<role: string, content: string>>}. */
  static String describe(Type type) {
    LogicalTypeAnnotation annotation = type.getLogicalTypeAnnotation();
    if (type.isPrimitive()) {
      Object name = annotation == null ? type.asPrimitiveType().getPrimitiveTypeName() : annotation;
      return lower(name);
    }
    GroupType group = type.asGroupType();
    if (annotation != null && group.getFieldCount() == 1 && !group.getType(0).isPrimitive()) {
      return lower(annotation) + "<" + fields(group.getType(0).asGroupType(), false) + ">";
    }
    return "struct<" + fields(group, true) + ">";
  }

  private static String lower(Object name) {
    return name.toString().toLowerCase(Locale.ROOT);
  }

  private static String fields(GroupType group, boolean named) {
    return group.getFields().stream()
        .map(field -> (named ? field.getName() + ": " : "") + describe(field))
        .collect(Collectors.joining(", "));
  }
}
