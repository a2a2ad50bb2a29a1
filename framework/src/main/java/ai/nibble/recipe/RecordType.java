package ai.nibble.recipe;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A record as a map of keys. A component with a {@link Key} is one key; a component that is a
 * record of such components is a section, whose keys stand in the same map; any other is supplied.
 */
final class RecordType implements ValueType {
  private final Class<?> type;
  private final List<RecordComponent> components;
  private final Map<String, Setting> settings = new LinkedHashMap<>();
  private final Map<RecordComponent, RecordType> sections = new LinkedHashMap<>();

  private RecordType(Class<?> type) {
    this.type = type;
    this.components = List.of(type.getRecordComponents());
    for (RecordComponent component : components) {
      if (component.isAnnotationPresent(Key.class)) {
        add(Setting.of(component));
      } else if (isSection(component)) {
        RecordType section = new RecordType(component.getType());
        sections.put(component, section);
        section.settings.values().forEach(this::add);
      }
    }
  }

  static RecordType of(Class<?> type) {
    return new RecordType(type);
  }

  private void add(Setting setting) {
    if (settings.putIfAbsent(setting.name(), setting) != null) {
      throw new IllegalStateException("two components have the key " + setting.name());
    }
  }

  private static boolean isSection(RecordComponent component) {
    RecordComponent[] inner = component.getType().getRecordComponents();
    return inner != null && Arrays.stream(inner).anyMatch(c -> c.isAnnotationPresent(Key.class));
  }

  /** All keys by name, sections included, in the order of the components. */
  Map<String, Setting> settings() {
    return settings;
  }

  /** The values that could be read, by key; problems of the others have been reported. */
  Map<String, Object> values(Node.Fields fields, Reading at) {
    Map<String, Object> values = new LinkedHashMap<>();
    settings.forEach(
        (name, setting) -> {
          Object value = setting.read(fields, at);
          if (value != null) {
            values.put(name, value);
          }
        });
    return values;
  }

  @Override
  public Object read(Node node, Reading at) {
    if (!(node instanceof Node.Fields fields)) {
      at.reject(node, expected());
      return null;
    }
    fields
        .fields()
        .forEach(
            (name, field) -> {
              if (!settings.containsKey(name)) {
                Reading inner = at.child(name);
                inner
                    .problems()
                    .add(
                        field.keyAt(),
                        "unknown key '"
                            + inner.shownKey()
                            + "'"
                            + NearestName.hint(name, settings.keySet())
                            + ", expected one of "
                            + settings.keySet());
              }
            });
    Map<String, Object> values = values(fields, at);
    return values.size() == settings.size() ? construct(values, null) : null;
  }

  /**
   * The record.
   *
   * @param values one for each key
   * @param supplied for components without a key
   */
  Object construct(Map<String, Object> values, Object supplied) {
    Object[] arguments = new Object[components.size()];
    for (int i = 0; i < arguments.length; i++) {
      RecordComponent component = components.get(i);
      Key key = component.getAnnotation(Key.class);
      if (key != null) {
        arguments[i] = values.get(key.value());
      } else if (sections.containsKey(component)) {
        arguments[i] = sections.get(component).construct(values, supplied);
      } else {
        arguments[i] = supplied;
      }
    }
    try {
      Class<?>[] types = components.stream().map(RecordComponent::getType).toArray(Class<?>[]::new);
      Constructor<?> canonical = type.getDeclaredConstructor(types);
      return canonical.newInstance(arguments);
    } catch (InvocationTargetException e) {
      throw new IllegalStateException(type + " refuses what its keys allow", e.getCause());
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(type + " is not a record of keys", e);
    }
  }

  @Override
  public Object write(Object value) {
    Map<String, Object> written = new LinkedHashMap<>();
    writeTo(written, value);
    return written;
  }

  private void writeTo(Map<String, Object> written, Object value) {
    for (RecordComponent component : components) {
      Key key = component.getAnnotation(Key.class);
      if (key != null) {
        written.put(key.value(), settings.get(key.value()).type().write(get(component, value)));
      } else if (sections.containsKey(component)) {
        sections.get(component).writeTo(written, get(component, value));
      }
    }
  }

  private static Object get(RecordComponent component, Object value) {
    try {
      return component.getAccessor().invoke(value);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public String expected() {
    return "a map with " + settings.keySet();
  }
}
