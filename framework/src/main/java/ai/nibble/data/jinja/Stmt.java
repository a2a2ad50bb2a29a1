package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/** A statement: writes text, assigns, or directs the flow. */
interface Stmt {
  Flow run(Scope scope, StrBuilder out);

  /** How a statement ended. */
  enum Flow {
    NEXT,
    BREAK,
    CONTINUE
  }

  /** Template text as it stands. */
  record Text(Str text) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      out.append(text);
      return Flow.NEXT;
    }
  }

  /** {@code {{ value }}}. */
  record Print(Expr value) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      out.append(Printing.str(value.eval(scope), scope.budget()));
      return Flow.NEXT;
    }
  }

  /** Statements one after the other; errors in them get their line here. */
  record Body(List<Stmt> statements, int[] lines) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      for (int i = 0; i < lines.length; i++) {
        try {
          Flow flow = statements.get(i).run(scope, out);
          if (flow != Flow.NEXT) {
            return flow;
          }
        } catch (TemplateError e) {
          throw e.at(lines[i]);
        }
      }
      return Flow.NEXT;
    }
  }

  /** {@code if}, any number of {@code elif}, and {@code else} as a last branch with a null test. */
  record If(List<Expr> tests, List<Stmt> branches) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      scope.budget().work(16);
      for (int i = 0; i < branches.size(); i++) {
        if (tests.get(i) == null || Values.truth(tests.get(i).eval(scope))) {
          return branches.get(i).run(scope, out);
        }
      }
      return Flow.NEXT;
    }
  }

  /**
   * A loop.
   *
   * @param filter keeps items, or null
   * @param otherwise runs where there was none, or null
   */
  record For(
      Target target,
      Expr iterable,
      Expr filter,
      Stmt body,
      Stmt otherwise,
      boolean recursive,
      int depth)
      implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      loop(iterable.eval(scope), scope, out, 0);
      return Flow.NEXT;
    }

    private void loop(Object values, Scope scope, StrBuilder out, int level) {
      List<Object> items = items(values, scope);
      LoopVariable state = new LoopVariable(items, level, recursive ? again(scope, level) : null);
      for (Object item : items) {
        scope.budget().step();
        state.advance();
        Scope turn = scope.inner();
        turn.set("loop", state);
        target.assign(item, turn);
        if (body.run(turn, out) == Flow.BREAK) {
          break;
        }
      }
      if (items.isEmpty() && otherwise != null) {
        otherwise.run(scope.inner(), out);
      }
    }

    private List<Object> items(Object values, Scope scope) {
      if (filter == null) {
        return Sequences.toList(values, scope.budget());
      }
      List<Object> kept = new ArrayList<>();
      for (Iterator<Object> all = Sequences.iterate(values, scope.budget()); all.hasNext(); ) {
        Object item = all.next();
        scope.budget().step();
        Scope turn = scope.inner();
        target.assign(item, turn);
        if (Values.truth(filter.eval(turn))) {
          kept.add(item);
        }
      }
      return kept;
    }

    private Callable again(Scope scope, int level) {
      return (arguments, budget) -> {
        Object values = arguments.bind("loop", 1, "iterable")[0];
        StrBuilder out = new StrBuilder();
        budget.enterCall(depth);
        loop(values, scope, out, level + 1);
        budget.leaveCall(depth);
        return budget.made(out.build());
      };
    }
  }

  record Set(Target target, Expr value) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      target.assign(value.eval(scope), scope);
      return Flow.NEXT;
    }
  }

  /** {@code {% set x | filters %}…{% endset %}}; filters may be null. */
  record SetBlock(Target target, List<Expr.Step> filters, Stmt body) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      target.assign(captured(body, filters, scope), scope);
      return Flow.NEXT;
    }
  }

  /** {@code {% filter name %}…{% endfilter %}}. */
  record FilterBlock(List<Expr.Step> filters, Stmt body) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      out.append(Printing.str(captured(body, filters, scope), scope.budget()));
      return Flow.NEXT;
    }
  }

  private static Object captured(Stmt body, List<Expr.Step> filters, Scope scope) {
    StrBuilder text = new StrBuilder();
    Scope inner = scope.inner();
    body.run(inner, text);
    Object value = scope.budget().made(text.build());
    for (Expr.Step filter : filters) {
      value = filter.apply(value, inner);
    }
    return value;
  }

  /** {@code {% with a = 1 %}…{% endwith %}}. */
  record With(List<Target> targets, List<Expr> values, Stmt body) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      Scope inner = scope.inner();
      for (int i = 0; i < targets.size(); i++) {
        targets.get(i).assign(values.get(i).eval(scope), inner);
      }
      return body.run(inner, out);
    }
  }

  /** {@code {% generation %}…{% endgeneration %}}: what the model writes. */
  record Generation(Stmt body) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      int begin = out.length();
      body.run(scope.inner(), out);
      out.generatedSince(begin);
      return Flow.NEXT;
    }
  }

  record DefineMacro(Macro.Definition definition) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      scope.set(definition.name(), new Macro(definition, scope));
      return Flow.NEXT;
    }
  }

  /** {@code {% call(x) f() %}…{% endcall %}}: the body becomes the macro's {@code caller}. */
  record CallBlock(Expr callee, ArgumentList arguments, Macro.Definition body) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      Object function = callee.eval(scope);
      if (function instanceof Undefined undefined) {
        throw undefined.error();
      }
      if (!(function instanceof Callable callable)) {
        throw new TemplateError("'" + Values.typeName(function) + "' object is not callable");
      }
      Arguments given = arguments.eval(scope);
      var named = new java.util.LinkedHashMap<>(given.named());
      named.put("caller", new Macro(body, scope));
      Object result = callable.call(new Arguments(given.positional(), named), scope.budget());
      out.append(Printing.str(result, scope.budget()));
      return Flow.NEXT;
    }
  }

  /** {@code break} or {@code continue}. */
  record Jump(Flow flow) implements Stmt {
    @Override
    public Flow run(Scope scope, StrBuilder out) {
      return flow;
    }
  }
}
