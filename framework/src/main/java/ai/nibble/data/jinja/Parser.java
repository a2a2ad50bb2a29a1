package ai.nibble.data.jinja;

import ai.nibble.data.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** Parses a template's statements. */
final class Parser {
  private final TokenStream stream;
  private final ExpressionParser expressions;
  private int loops;

  private Parser(List<Token> tokens) {
    this.stream = new TokenStream(tokens);
    this.expressions = new ExpressionParser(stream);
  }

  static Stmt.Body parse(String template) {
    Parser parser = new Parser(Lexer.tokenize(template));
    Stmt.Body body = parser.body();
    if (parser.stream.current().kind() != Kind.EOF) {
      throw parser.stream.error("unknown tag " + parser.stream.current().describe());
    }
    return body;
  }

  /** Statements up to a tag of one of these names, which stays the current token. */
  private Stmt.Body body(String... ends) {
    stream.enter();
    List<Stmt> statements = new ArrayList<>();
    List<Integer> lines = new ArrayList<>();
    while (stream.current().kind() != Kind.EOF) {
      Token token = stream.next();
      lines.add(token.line());
      if (token.kind() == Kind.DATA) {
        statements.add(new Stmt.Text(Str.of((String) token.value())));
      } else if (token.kind() == Kind.VARIABLE_BEGIN) {
        statements.add(new Stmt.Print(expressions.tuple(true, false)));
        stream.expect(Kind.VARIABLE_END, "end of print statement");
      } else {
        Token name = stream.current();
        if (name.kind() == Kind.NAME && Arrays.asList(ends).contains(name.value())) {
          stream.leave();
          return sequence(statements, lines);
        }
        statements.add(statement());
        stream.expect(Kind.BLOCK_END, "end of statement block");
      }
      expressions.checkNames();
    }
    if (ends.length > 0) {
      throw stream.error(
          "unexpected end of template, expected '" + String.join("' or '", ends) + "'");
    }
    stream.leave();
    return sequence(statements, lines);
  }

  private static Stmt.Body sequence(List<Stmt> statements, List<Integer> lines) {
    int[] at = lines.stream().limit(statements.size()).mapToInt(Integer::intValue).toArray();
    return new Stmt.Body(statements, at);
  }

  /** The body behind a tag that begins a block, and its end tag's name. */
  private Stmt.Body block(String... ends) {
    stream.skipOperator(":");
    stream.expect(Kind.BLOCK_END, "end of statement block");
    return body(ends);
  }

  private Stmt statement() {
    Token token = stream.expect(Kind.NAME, "a tag's name");
    return switch ((String) token.value()) {
      case "if" -> ifStatement();
      case "for" -> forStatement();
      case "set" -> setStatement();
      case "macro" -> macroStatement();
      case "call" -> callStatement();
      case "filter" -> filterStatement();
      case "with" -> withStatement();
      case "generation" -> generation();
      case "print" -> new Stmt.Print(expressions.tuple(true, false));
      case "break" -> jump(Stmt.Flow.BREAK);
      case "continue" -> jump(Stmt.Flow.CONTINUE);
      case "include", "import", "from", "extends", "block" ->
          throw new TemplateError(
              "'" + token.value() + "' is not allowed: a template stands alone", token.line());
      default -> throw new TemplateError("unknown tag '" + token.value() + "'", token.line());
    };
  }

  private Stmt jump(Stmt.Flow flow) {
    if (loops == 0) {
      throw stream.error("'break' or 'continue' outside a loop");
    }
    return new Stmt.Jump(flow);
  }

  private Stmt ifStatement() {
    List<Expr> tests = new ArrayList<>();
    List<Stmt> branches = new ArrayList<>();
    boolean before = expressions.lenient(true);
    String tag = "elif";
    while (tag.equals("elif")) {
      tests.add(expressions.tuple(false, false));
      branches.add(block("elif", "else", "endif"));
      tag = (String) stream.next().value();
    }
    if (tag.equals("else")) {
      tests.add(null);
      branches.add(block("endif"));
      stream.next();
    }
    expressions.lenient(before);
    return new Stmt.If(tests, branches);
  }

  private Stmt forStatement() {
    int before = stream.measure();
    boolean lenient = expressions.lenient(false);
    Target target = target(false);
    stream.expectName("in");
    Expr iterable = expressions.tuple(false, false);
    Expr filter = stream.skipName("if") ? expressions.expression() : null;
    boolean recursive = stream.skipName("recursive");
    loops++;
    Stmt body = block("endfor", "else");
    loops--;
    Stmt otherwise = null;
    if (stream.next().value().equals("else")) {
      otherwise = block("endfor");
      stream.next();
    }
    expressions.lenient(lenient);
    return new Stmt.For(
        target, iterable, filter, body, otherwise, recursive, stream.measured(before));
  }

  private Stmt setStatement() {
    Target target = target(true);
    if (stream.skipOperator("=")) {
      return new Stmt.Set(target, expressions.tuple(true, false));
    }
    List<Expr.Step> filters = filters();
    Stmt body = strictBlock("endset");
    stream.next();
    return new Stmt.SetBlock(target, filters, body);
  }

  private List<Expr.Step> filters() {
    List<Expr.Step> filters = new ArrayList<>();
    while (stream.skipOperator("|")) {
      filters.add(expressions.filter());
    }
    return filters;
  }

  /** A block of its own frame: unknown filters in it are errors at once, jumps cannot leave it. */
  private Stmt strictBlock(String end) {
    boolean lenient = expressions.lenient(false);
    int outerLoops = loops;
    loops = 0;
    Stmt body = block(end);
    loops = outerLoops;
    expressions.lenient(lenient);
    return body;
  }

  private Target target(boolean namespaceAllowed) {
    List<Target> targets = new ArrayList<>();
    boolean tuple = false;
    boolean bracketed = stream.skipOperator("(");
    while (stream.current().kind() == Kind.NAME && !stream.current().isName("in")) {
      targets.add(singleTarget(namespaceAllowed));
      if (!stream.skipOperator(",")) {
        break;
      }
      tuple = true;
    }
    if (bracketed) {
      stream.expectOperator(")");
    }
    if (targets.isEmpty()) {
      throw stream.unexpected("a name to assign to");
    }
    return tuple ? new Target.Unpacking(targets) : targets.get(0);
  }

  private static final Set<String> CONSTANTS =
      Set.of("true", "false", "none", "True", "False", "None");

  private Target singleTarget(boolean namespaceAllowed) {
    String name = (String) stream.next().value();
    if (CONSTANTS.contains(name)) {
      throw stream.error("can't assign to '" + name + "'");
    }
    if (namespaceAllowed && stream.skipOperator(".")) {
      String attribute = (String) stream.expect(Kind.NAME, "an attribute's name").value();
      return new Target.NamespaceAttribute(name, attribute);
    }
    return new Target.Variable(name);
  }

  private Stmt macroStatement() {
    String name = (String) stream.expect(Kind.NAME, "the macro's name").value();
    return new Stmt.DefineMacro(definition(name, "endmacro"));
  }

  private Macro.Definition definition(String name, String end) {
    int before = stream.measure();
    List<String> parameters = new ArrayList<>();
    List<Expr> defaults = new ArrayList<>();
    if (stream.skipOperator("(")) {
      signature(parameters, defaults);
    }
    Stmt body = strictBlock(end);
    stream.next();
    int depth = stream.measured(before);
    return new Macro.Definition(name, parameters, defaults, body, depth);
  }

  private void signature(List<String> parameters, List<Expr> defaults) {
    while (!stream.skipOperator(")")) {
      if (!parameters.isEmpty()) {
        stream.expectOperator(",");
      }
      parameters.add((String) stream.expect(Kind.NAME, "a parameter's name").value());
      if (stream.skipOperator("=")) {
        defaults.add(expressions.expression());
      } else if (!defaults.isEmpty()) {
        throw stream.error("non-default argument follows default argument");
      }
    }
  }

  private Stmt callStatement() {
    // The parameters of the body come before the call itself.
    List<String> parameters = new ArrayList<>();
    List<Expr> defaults = new ArrayList<>();
    if (stream.skipOperator("(")) {
      signature(parameters, defaults);
    }
    Expr call = expressions.or();
    boolean isCall =
        call instanceof Expr.Postfix postfix
            && postfix.steps().get(postfix.steps().size() - 1) instanceof Expr.Call;
    if (!isCall) {
      throw stream.error("expected a call");
    }
    List<Expr.Step> steps = ((Expr.Postfix) call).steps();
    Expr.Call last = (Expr.Call) steps.get(steps.size() - 1);
    Expr callee =
        new Expr.Postfix(((Expr.Postfix) call).base(), steps.subList(0, steps.size() - 1));
    int before = stream.measure();
    Stmt body = strictBlock("endcall");
    stream.next();
    Macro.Definition definition =
        new Macro.Definition("caller", parameters, defaults, body, stream.measured(before));
    return new Stmt.CallBlock(callee, last.arguments(), definition);
  }

  private Stmt filterStatement() {
    List<Expr.Step> filters = new ArrayList<>(List.of(expressions.filter()));
    filters.addAll(filters());
    Stmt body = strictBlock("endfilter");
    stream.next();
    return new Stmt.FilterBlock(filters, body);
  }

  private Stmt withStatement() {
    List<Target> targets = new ArrayList<>();
    List<Expr> values = new ArrayList<>();
    while (stream.current().kind() != Kind.BLOCK_END) {
      if (!targets.isEmpty()) {
        stream.expectOperator(",");
      }
      targets.add(singleTarget(false));
      stream.expectOperator("=");
      values.add(expressions.expression());
    }
    Stmt body = block("endwith");
    stream.next();
    return new Stmt.With(targets, values, body);
  }

  private Stmt generation() {
    Stmt body = strictBlock("endgeneration");
    stream.next();
    return new Stmt.Generation(body);
  }
}
