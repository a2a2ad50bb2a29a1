package ai.nibble.data.jinja;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A macro with the scope it was defined in. */
final class Macro implements Callable, Attributes.Owner {
  /**
   * A macro as written.
   *
   * @param defaults of the last parameters
   * @param depth of nesting in the body, which is the stack that one call takes
   */
  record Definition(
      String name, List<String> parameters, List<Expr> defaults, Stmt body, int depth) {}

  private final Definition definition;
  private final Scope closure;

  Macro(Definition definition, Scope closure) {
    this.definition = definition;
    this.closure = closure;
  }

  @Override
  public Object call(Arguments arguments, Budget budget) {
    Scope scope = closure.inner();
    Map<String, Object> named = new HashMap<>(arguments.named());
    List<String> parameters = definition.parameters();
    List<Object> positional = arguments.positional();
    int firstDefault = parameters.size() - definition.defaults().size();
    budget.enterCall(definition.depth());
    for (int i = 0; i < parameters.size(); i++) {
      String name = parameters.get(i);
      if (i < positional.size()) {
        scope.set(name, positional.get(i));
      } else if (named.containsKey(name)) {
        scope.set(name, named.remove(name));
      } else if (i >= firstDefault) {
        scope.set(name, definition.defaults().get(i - firstDefault).eval(scope));
      } else {
        scope.set(name, new Undefined("parameter '" + name + "' was not provided"));
      }
    }
    refuseMore(scope, positional, parameters.size(), named);
    StrBuilder out = new StrBuilder();
    definition.body().run(scope, out);
    budget.leaveCall(definition.depth());
    return budget.made(out.build());
  }

  private void refuseMore(
      Scope scope, List<Object> positional, int known, Map<String, Object> named) {
    if (!definition.parameters().contains("caller")) {
      Object caller = named.remove("caller");
      scope.set("caller", caller == null ? new Undefined("no caller defined") : caller);
    }
    if (positional.size() > known) {
      throw new TemplateError(
          "macro '" + definition.name() + "' takes not more than " + known + " argument(s)");
    }
    if (!named.isEmpty()) {
      throw new TemplateError(
          "macro '" + definition.name() + "' takes no keyword argument " + named.keySet());
    }
  }

  @Override
  public Object attribute(String name) {
    return name.equals("name")
        ? Str.of(definition.name())
        : Undefined.attribute(this, Str.of(name));
  }
}
