package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.TargetModules;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A key of the recipe and the type of its value. */
record Setting(String name, Key key, ValueType type) {

  static Setting of(RecordComponent component) {
    Key key = component.getAnnotation(Key.class);
    return new Setting(key.value(), key, type(component.getGenericType(), key));
  }

  private static ValueType type(Type type, Key key) {
    if (type instanceof ParameterizedType generic) {
      Type[] of = generic.getActualTypeArguments();
      if (generic.getRawType() == Optional.class) {
        return new GroupTypes.Maybe(type(of[0], key), key.none());
      }
      if (generic.getRawType() == List.class) {
        return new GroupTypes.ListOf(type(of[0], key), key.atLeast(), key.repeats());
      }
      if (generic.getRawType() == Map.class && of[0] == String.class) {
        return new GroupTypes.MapOf(type(of[1], key), key.regexNames());
      }
    }
    return plainType((Class<?>) type, key);
  }

  private static ValueType plainType(Class<?> type, Key key) {
    Range range = Range.parse(key.range());
    if (type == int.class || type == Integer.class || type == long.class) {
      return new ScalarTypes.Whole(range, key.choices(), type == long.class);
    }
    if (type == double.class || type == Double.class) {
      return new ScalarTypes.Real(range);
    }
    if (type == boolean.class) {
      return new ScalarTypes.TrueFalse();
    }
    if (type == String.class) {
      return new ScalarTypes.Text();
    }
    if (type == Path.class) {
      return new ScalarTypes.FilePath();
    }
    if (type == TargetModules.class) {
      return new TargetModulesType(key.byDefault().equals("all-linear"));
    }
    if (type == TrainedTokenIds.class) {
      return new TrainedTokenIds.Type();
    }
    if (type == InitLoraWeights.class) {
      return new InitLoraWeightsType();
    }
    if (type == ValSetSize.class) {
      return new ValSetSize.Type();
    }
    if (type == PreparedPath.class) {
      return new PreparedPath.Type();
    }
    if (type == Devices.class) {
      return new Devices.Type();
    }
    if (type == KeptDequantized.class) {
      return new KeptDequantized.Type();
    }
    if (type == DeviceMap.class) {
      return new DeviceMap.Type();
    }
    if (type == MaxMemory.class) {
      return new MaxMemory.Type();
    }
    if (type == ResumeFrom.class) {
      return new ResumeFrom.Type();
    }
    if (type.isEnum()) {
      return ScalarTypes.Choice.of(type);
    }
    if (type.isRecord()) {
      return RecordType.of(type);
    }
    throw new IllegalStateException("no value type for " + type + " of key " + key.value());
  }

  /**
   * The value, its default, or null once a problem has been reported.
   *
   * @param fields the map the key may stand in
   */
  Object read(Node.Fields fields, Reading parent) {
    Reading at = parent.child(name);
    Node.Field field = fields.fields().get(name);
    if (field == null) {
      return absent(fields, at);
    }
    at.positions().put(at.key(), field.value().at());
    return given(field.value(), at);
  }

  private Object absent(Node.Fields fields, Reading at) {
    if (isRequired()) {
      // A derived default is missing only where the key it follows from has a problem of its own.
      if (key.derived().isEmpty()) {
        Position whole = at.key().equals(name) ? fields.at().whole() : fields.at();
        at.problems().add(whole, "'" + at.shownKey() + "' is missing, expected " + type.expected());
      }
      return null;
    }
    return type.read(byDefault(fields.at()), at);
  }

  private Node byDefault(Position at) {
    SourceText source = new SourceText(key.byDefault(), at.whole(), false);
    Problems none = new Problems();
    return YamlReader.read(source, none)
        .orElseThrow(() -> new IllegalStateException("default of " + name));
  }

  private Object given(Node node, Reading at) {
    if (!(node instanceof Node.Scalar scalar)) {
      return refusedItem(node, at) ? null : type.read(node, at);
    }
    if (refused(scalar, at)) {
      return null;
    }
    for (Key.Means means : key.means()) {
      if (scalar.text().matches(means.value())) {
        at.notice(
            scalar.at(), "'" + name + ": " + scalar.text() + "' is read as '" + means.as() + "'");
        return type.read(new Node.Scalar(means.as(), false, scalar.at()), at);
      }
    }
    return type.read(node, at);
  }

  private boolean refusedItem(Node node, Reading at) {
    boolean refused = false;
    if (node instanceof Node.Items items) {
      for (int i = 0; i < items.items().size(); i++) {
        Reading inner = at.child(Integer.toString(i));
        refused |= items.items().get(i) instanceof Node.Scalar s && refused(s, inner);
      }
    }
    return refused;
  }

  private boolean refused(Node.Scalar scalar, Reading at) {
    for (Key.Refuse refuse : key.refuse()) {
      if (scalar.text().matches(refuse.value())) {
        at.problems()
            .add(
                scalar.at(),
                "'" + at.shownKey() + "' is " + scalar.seen() + ", which is " + refuse.why());
        return true;
      }
    }
    return false;
  }

  boolean isRequired() {
    return key.byDefault().equals(Key.REQUIRED);
  }
}
