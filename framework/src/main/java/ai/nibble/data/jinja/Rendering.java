package ai.nibble.data.jinja;

import java.util.List;

/**
 * A rendered text and where its characters came from.
 *
 * @param text the text
 * @param runs neighbouring, covering the text from 0 to its length; no two neighbours share an
 *     origin
 * @param generated what stood in {@code generation} blocks outside macros, in order
 */
public record Rendering(String text, List<Run> runs, List<Span> generated) {
  public Rendering {
    runs = List.copyOf(runs);
    generated = List.copyOf(generated);
  }

  /** Characters {@code [begin, end)} (UTF-16 indices). */
  public record Span(int begin, int end) {}

  /**
   * Characters {@code [begin, end)} (UTF-16 indices) of one origin: 0 for the template, otherwise
   * what a {@link Traced} named.
   */
  public record Run(int begin, int end, int origin) {}
}
