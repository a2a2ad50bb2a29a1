package ai.nibble.data.jinja;

import java.util.List;

/** What an assignment or a loop assigns to. */
interface Target {
  void assign(Object value, Scope scope);

  record Variable(String name) implements Target {
    @Override
    public void assign(Object value, Scope scope) {
      scope.set(name, value);
    }
  }

  /** {@code ns.name} of a {@link Namespace}. */
  record NamespaceAttribute(String variable, String name) implements Target {
    @Override
    public void assign(Object value, Scope scope) {
      if (!(scope.get(variable) instanceof Namespace namespace)) {
        throw new TemplateError("cannot assign attribute on non-namespace object");
      }
      namespace.set(name, value);
    }
  }

  /** {@code a, b}. */
  record Unpacking(List<Target> targets) implements Target {
    @Override
    public void assign(Object value, Scope scope) {
      List<Object> values = Sequences.toList(value, scope.budget());
      if (values.size() != targets.size()) {
        throw new TemplateError(
            "cannot unpack " + values.size() + " values into " + targets.size() + " names");
      }
      for (int i = 0; i < values.size(); i++) {
        targets.get(i).assign(values.get(i), scope);
      }
    }
  }
}
