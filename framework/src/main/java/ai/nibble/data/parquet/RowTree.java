package ai.nibble.data.parquet;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.parquet.io.api.Converter;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.RecordMaterializer;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation.ListLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.MapLogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Type.Repetition;

/** Makes a tree of maps, lists and values of what parquet-column reads of a row. */
final class RowTree extends RecordMaterializer<Map<String, Object>> {
  /** Nulls take no bytes, so that a small file could ask for lists without end. */
  private static final int MOST_VALUES = 1 << 24;

  private final Struct root;
  private Map<String, Object> row;
  private int valuesOfRow;

  RowTree(MessageType schema) {
    this.root =
        new Struct(schema, value -> row = columns(value)) {
          @Override
          public void start() {
            valuesOfRow = 0;
            super.start();
          }
        };
  }

  @SuppressWarnings("unchecked") // a struct gives a map from its fields' names
  private static Map<String, Object> columns(Object struct) {
    return (Map<String, Object>) struct;
  }

  @Override
  public Map<String, Object> getCurrentRecord() {
    Map<String, Object> columns = new LinkedHashMap<>();
    root.type.getFields().forEach(field -> columns.put(field.getName(), row.get(field.getName())));
    return columns;
  }

  @Override
  public GroupConverter getRootConverter() {
    return root;
  }

  private void count() {
    if (++valuesOfRow > MOST_VALUES) {
      throw new InvalidInputException("the row has more than " + MOST_VALUES + " values");
    }
  }

  private Converter converter(Type type, Consumer<Object> to) {
    if (type.isPrimitive()) {
      return PrimitiveValue.converter(type.asPrimitiveType(), to);
    }
    GroupType group = type.asGroupType();
    if (group.getLogicalTypeAnnotation() instanceof ListLogicalTypeAnnotation
        && isRepeatedAlone(group)) {
      return new Elements(group, to);
    }
    if (group.getLogicalTypeAnnotation() instanceof MapLogicalTypeAnnotation
        && isRepeatedAlone(group)
        && !group.getType(0).isPrimitive()
        && group.getType(0).asGroupType().getFieldCount() == 2) {
      return new Entries(group.getType(0).asGroupType(), to);
    }
    return new Struct(group, to);
  }

  private static boolean isRepeatedAlone(GroupType group) {
    return group.getFieldCount() == 1 && group.getType(0).isRepetition(Repetition.REPEATED);
  }

  /** Fields by name. A repeated field is a list by itself. */
  private class Struct extends GroupConverter {
    private final GroupType type;
    private final Consumer<Object> to;
    private final List<Converter> fields = new ArrayList<>();
    private Map<String, Object> values;

    Struct(GroupType type, Consumer<Object> to) {
      this.type = type;
      this.to = to;
      for (Type field : type.getFields()) {
        String name = field.getName();
        fields.add(
            field.isRepetition(Repetition.REPEATED)
                ? converter(field, value -> list(name).add(value))
                : converter(field, value -> values.put(name, value)));
      }
    }

    @SuppressWarnings("unchecked") // put there by the constructor or start
    private List<Object> list(String name) {
      count();
      return (List<Object>) values.get(name);
    }

    @Override
    public Converter getConverter(int field) {
      return fields.get(field);
    }

    @Override
    public void start() {
      values = new LinkedHashMap<>();
      for (Type field : type.getFields()) {
        if (field.isRepetition(Repetition.REPEATED)) {
          values.put(field.getName(), new ArrayList<>());
        }
      }
    }

    @Override
    public void end() {
      count();
      to.accept(values);
    }
  }

  /**
   * A list: a group around one repeated field. That field is a group around the element; or the
   * element itself, in files of old writers (LogicalTypes.md, "Backward-compatibility rules").
   */
  private final class Elements extends GroupConverter {
    private final Consumer<Object> to;
    private final Converter repeated;
    private List<Object> list;

    Elements(GroupType type, Consumer<Object> to) {
      this.to = to;
      Type inner = type.getType(0);
      boolean isElement =
          inner.isPrimitive()
              || inner.asGroupType().getFieldCount() != 1
              || inner.getName().equals("array")
              || inner.getName().equals(type.getName() + "_tuple");
      this.repeated = isElement ? converter(inner, this::add) : new Element(inner.asGroupType());
    }

    private void add(Object value) {
      count();
      list.add(value);
    }

    @Override
    public Converter getConverter(int field) {
      return repeated;
    }

    @Override
    public void start() {
      list = new ArrayList<>();
    }

    @Override
    public void end() {
      to.accept(list);
    }

    /** The group around an element, which may be null. */
    private final class Element extends GroupConverter {
      private final Converter element;
      private Object value;

      Element(GroupType type) {
        element = converter(type.getType(0), each -> value = each);
      }

      @Override
      public Converter getConverter(int field) {
        return element;
      }

      @Override
      public void start() {
        value = null;
      }

      @Override
      public void end() {
        add(value);
      }
    }
  }

  /** A map: a group around a repeated pair of key and value. */
  private final class Entries extends GroupConverter {
    private final Consumer<Object> to;
    private final GroupConverter pair;
    private Map<String, Object> entries;
    private Object key;
    private Object value;

    Entries(GroupType type, Consumer<Object> to) {
      this.to = to;
      Converter keys = converter(type.getType(0), each -> key = each);
      Converter values = converter(type.getType(1), each -> value = each);
      this.pair =
          new GroupConverter() {
            @Override
            public Converter getConverter(int field) {
              return field == 0 ? keys : values;
            }

            @Override
            public void start() {
              key = null;
              value = null;
            }

            @Override
            public void end() {
              count();
              entries.put(String.valueOf(key), value);
            }
          };
    }

    @Override
    public Converter getConverter(int field) {
      return pair;
    }

    @Override
    public void start() {
      entries = new LinkedHashMap<>();
    }

    @Override
    public void end() {
      to.accept(entries);
    }
  }
}
