package ai.nibble.data.jinja;

/**
 * Jinja's default undefined: prints as nothing, is false and empty, and refuses everything else.
 *
 * @param message what was missing
 */
record Undefined(String message) {
  static Undefined variable(String name) {
    return new Undefined("'" + name + "' is undefined");
  }

  static Undefined attribute(Object owner, Object name) {
    String type = owner == null ? "None" : "'" + Values.typeName(owner) + " object'";
    return new Undefined(type + " has no " + describe(name));
  }

  private static String describe(Object name) {
    return name instanceof Str str ? "attribute '" + str + "'" : "element " + name;
  }

  TemplateError error() {
    return new TemplateError(message);
  }

  /** All undefined values are equal, as in Jinja. */
  @Override
  public boolean equals(Object other) {
    return other instanceof Undefined;
  }

  @Override
  public int hashCode() {
    return 0;
  }
}
