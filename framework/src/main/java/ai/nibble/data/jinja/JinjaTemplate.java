package ai.nibble.data.jinja;

import ai.nibble.InvalidInputException;
import java.util.Map;

/**
 * A compiled template. Immutable; one may be rendered from several threads.
 *
 * <p>Limits: 256 KiB of template, 16 Mi characters of output, a million loop steps, 64 levels of
 * nesting and of macro calls, ranges of 100,000, 2 seconds. Beyond them, and wherever Jinja itself
 * would refuse, {@link InvalidInputException} names the template and its line.
 */
public final class JinjaTemplate {
  private final String name;
  private final Stmt.Body body;

  private JinjaTemplate(String name, Stmt.Body body) {
    this.name = name;
    this.body = body;
  }

  /**
   * @param source the template's text
   * @param name what messages call it, for example its file
   * @throws InvalidInputException on a syntax error, an unknown tag, filter or test, or a template
   *     beyond the limits
   */
  public static JinjaTemplate compile(String source, String name) {
    if (source.length() > Budget.MAX_TEMPLATE) {
      throw new InvalidInputException(
          name
              + ": the template has "
              + source.length()
              + " characters, expected at most "
              + Budget.MAX_TEMPLATE);
    }
    try {
      return new JinjaTemplate(name, Parser.parse(source));
    } catch (TemplateError e) {
      throw refused(name, e);
    }
  }

  /**
   * The text for these variables.
   *
   * @param variables maps, collections, strings, numbers, booleans and nulls, in any nesting
   * @throws InvalidInputException where the template fails or refuses ({@code raise_exception})
   */
  public String render(Map<String, Object> variables) {
    return trace(variables).text();
  }

  /**
   * The text for these variables, with the origin of every character.
   *
   * @param variables as for {@link #render}; a {@link Traced} anywhere gives its strings an origin
   * @throws InvalidInputException where the template fails or refuses
   */
  public Rendering trace(Map<String, Object> variables) {
    try {
      Scope globals = new Scope(new Budget());
      Globals.define(globals);
      variables.forEach((key, value) -> globals.set(key, Values.from(value, 0, 0)));
      StrBuilder out = new StrBuilder();
      body.run(globals, out);
      return out.rendering();
    } catch (TemplateError e) {
      throw refused(name, e);
    }
  }

  private static InvalidInputException refused(String name, TemplateError e) {
    String line = e.line() > 0 ? ":" + e.line() : "";
    return new InvalidInputException(name + line + ": template: " + e.getMessage(), e);
  }
}
