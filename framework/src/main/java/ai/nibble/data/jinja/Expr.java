package ai.nibble.data.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An expression. Chains of one precedence ({@code a + b + c}, {@code x.y[0]|trim}) are one node
 * that works through a list, so the tree is never deeper than the parser's nesting limit.
 */
interface Expr {
  Object eval(Scope scope);

  /** A literal string, number, boolean or None. */
  record Const(Object value) implements Expr {
    @Override
    public Object eval(Scope scope) {
      return value;
    }
  }

  /** A variable. */
  record Name(String name) implements Expr {
    @Override
    public Object eval(Scope scope) {
      return scope.get(name);
    }
  }

  /** A list or tuple. */
  record Items(List<Expr> items, boolean tuple) implements Expr {
    @Override
    public Object eval(Scope scope) {
      List<Object> values = new ArrayList<>(items.size());
      for (Expr item : items) {
        values.add(item.eval(scope));
      }
      return scope.budget().made(new Seq(values, tuple));
    }
  }

  /** A dict: keys and values alternate. */
  record Dict(List<Expr> keysAndValues) implements Expr {
    @Override
    public Object eval(Scope scope) {
      Map<Object, Object> dict = new LinkedHashMap<>();
      for (int i = 0; i < keysAndValues.size(); i += 2) {
        Object key = Sequences.key(keysAndValues.get(i).eval(scope));
        dict.put(key, keysAndValues.get(i + 1).eval(scope));
      }
      return scope.budget().made(dict);
    }
  }

  /** {@code first op operand op operand …}, from the left. */
  record Chain(Expr first, List<String> ops, List<Expr> operands) implements Expr {
    @Override
    public Object eval(Scope scope) {
      Object value = first.eval(scope);
      for (int i = 0; i < ops.size(); i++) {
        Object operand = operands.get(i).eval(scope);
        value = Arithmetic.apply(ops.get(i), value, operand, scope.budget());
      }
      return value;
    }
  }

  /** {@code a ~ b ~ c}: everything as text. */
  record Concat(List<Expr> parts) implements Expr {
    @Override
    public Object eval(Scope scope) {
      StrBuilder out = new StrBuilder();
      for (Expr part : parts) {
        out.append(Printing.str(part.eval(scope), scope.budget()));
      }
      return scope.budget().made(out.build());
    }
  }

  /** {@code and} or {@code or}: the operand that decides. */
  record Logic(boolean and, List<Expr> operands) implements Expr {
    @Override
    public Object eval(Scope scope) {
      Object value = null;
      for (Expr operand : operands) {
        value = operand.eval(scope);
        if (Values.truth(value) != and) {
          break;
        }
      }
      return value;
    }
  }

  record Not(Expr operand) implements Expr {
    @Override
    public Object eval(Scope scope) {
      return !Values.truth(operand.eval(scope));
    }
  }

  /** {@code -x} or {@code +x}. */
  record Sign(boolean minus, Expr operand) implements Expr {
    @Override
    public Object eval(Scope scope) {
      Object value = operand.eval(scope);
      return minus ? Arithmetic.negate(value) : Arithmetic.plus(value);
    }
  }

  /** {@code a < b <= c}: every neighbouring pair. */
  record Compare(Expr first, List<String> ops, List<Expr> operands) implements Expr {
    @Override
    public Object eval(Scope scope) {
      Object left = first.eval(scope);
      for (int i = 0; i < ops.size(); i++) {
        Object right = operands.get(i).eval(scope);
        if (!holds(ops.get(i), left, right, scope.budget())) {
          return false;
        }
        left = right;
      }
      return true;
    }

    private static boolean holds(String op, Object a, Object b, Budget budget) {
      return switch (op) {
        case "==" -> Comparison.equal(a, b, budget);
        case "!=" -> !Comparison.equal(a, b, budget);
        case "<" -> Comparison.compare(a, b, op, budget) < 0;
        case "<=" -> Comparison.compare(a, b, op, budget) <= 0;
        case ">" -> Comparison.compare(a, b, op, budget) > 0;
        case ">=" -> Comparison.compare(a, b, op, budget) >= 0;
        case "in" -> Comparison.contains(b, a, budget);
        default -> !Comparison.contains(b, a, budget);
      };
    }
  }

  /** {@code then if test else otherwise}; without an else it is undefined. */
  record Conditional(Expr test, Expr then, Expr otherwise) implements Expr {
    @Override
    public Object eval(Scope scope) {
      if (Values.truth(test.eval(scope))) {
        return then.eval(scope);
      }
      return otherwise == null
          ? new Undefined("the inline if-expression evaluated to false and has no else")
          : otherwise.eval(scope);
    }
  }

  /** A value followed by attributes, indices, calls, filters and tests, from the left. */
  record Postfix(Expr base, List<Step> steps) implements Expr {
    @Override
    public Object eval(Scope scope) {
      Object value = base.eval(scope);
      for (Step step : steps) {
        value = step.apply(value, scope);
      }
      return value;
    }
  }

  /** One link of a {@link Postfix}. */
  interface Step {
    Object apply(Object value, Scope scope);
  }

  record Attribute(Str name) implements Step {
    @Override
    public Object apply(Object value, Scope scope) {
      return Attributes.get(value, name, scope.budget());
    }
  }

  record Item(Expr index) implements Step {
    @Override
    public Object apply(Object value, Scope scope) {
      Object at = index.eval(scope);
      return Attributes.item(
          value, at instanceof BigInteger ? (Object) Long.MAX_VALUE : at, scope.budget());
    }
  }

  /** Each bound may be absent, which is null. */
  record Slice(Expr start, Expr stop, Expr step) implements Step {
    @Override
    public Object apply(Object value, Scope scope) {
      return Sequences.slice(
          value, bound(start, scope), bound(stop, scope), bound(step, scope), scope.budget());
    }

    private static Object bound(Expr bound, Scope scope) {
      return bound == null ? null : bound.eval(scope);
    }
  }

  record Call(ArgumentList arguments) implements Step {
    @Override
    public Object apply(Object value, Scope scope) {
      if (value instanceof Undefined undefined) {
        throw undefined.error();
      }
      if (!(value instanceof Callable callable)) {
        throw new TemplateError("'" + Values.typeName(value) + "' object is not callable");
      }
      scope.budget().work(32);
      return callable.call(arguments.eval(scope), scope.budget());
    }
  }

  /** The name is looked up when it runs, where an enclosing {@code if} may guard it. */
  record Filtered(String name, ArgumentList arguments) implements Step {
    @Override
    public Object apply(Object value, Scope scope) {
      Filter filter = Filters.named(name);
      if (filter == null) {
        throw new TemplateError("No filter named '" + name + "'.");
      }
      scope.budget().work(32);
      return scope.budget().made(filter.apply(value, arguments.eval(scope), scope.budget()));
    }
  }

  record Tested(String name, ArgumentList arguments, boolean negated) implements Step {
    @Override
    public Object apply(Object value, Scope scope) {
      ValueTest test = Tests.named(name);
      if (test == null) {
        throw new TemplateError("No test named '" + name + "'.");
      }
      return test.passes(value, arguments.eval(scope), scope.budget()) != negated;
    }
  }
}
