package ai.nibble.data.jinja;

import java.util.Map;

/**
 * {@code value.name} and {@code value[index]}: methods of strings, dicts and lists by a fixed list
 * of names, keys of dicts, attributes of {@code loop} and namespaces. Nothing is looked up on a
 * Java object.
 */
final class Attributes {
  private Attributes() {}

  /** Something with attributes of its own. */
  interface Owner {
    /** The attribute, or an {@link Undefined}. */
    Object attribute(String name);
  }

  /** {@code value.name}: methods first, then keys. */
  static Object get(Object value, Str name, Budget budget) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (name.text().startsWith("__")) {
      throw forbidden(name, value);
    }
    Object method = method(value, name.text());
    if (method != null) {
      return method;
    }
    if (value instanceof Map && Values.dict(value).containsKey(name)) {
      return Values.dict(value).get(name);
    }
    return value instanceof Owner owner
        ? owner.attribute(name.text())
        : Undefined.attribute(value, name);
  }

  /** {@code value[index]}: elements and keys first, then, for a string, methods. */
  static Object item(Object value, Object index, Budget budget) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    boolean[] found = new boolean[1];
    Object element = Sequences.index(value, index, found);
    if (found[0]) {
      return element;
    }
    if (index instanceof Str name) {
      if (name.text().startsWith("__")) {
        throw forbidden(name, value);
      }
      Object method = method(value, name.text());
      if (method != null) {
        return method;
      }
      if (value instanceof Owner owner) {
        return owner.attribute(name.text());
      }
    }
    return Undefined.attribute(
        value, index instanceof Str ? index : Printing.repr(index, budget).text());
  }

  private static Object method(Object value, String name) {
    if (value instanceof Str str) {
      return StringMethods.bind(str, name);
    }
    if (value instanceof Map) {
      return CollectionMethods.bindDict(Values.dict(value), name);
    }
    return value instanceof Seq seq ? CollectionMethods.bindSequence(seq, name) : null;
  }

  private static TemplateError forbidden(Str name, Object value) {
    return new TemplateError(
        "access to attribute '" + name + "' of '" + Values.typeName(value) + "' is unsafe");
  }
}
