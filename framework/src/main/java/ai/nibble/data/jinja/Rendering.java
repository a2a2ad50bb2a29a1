package ai.nibble.data.jinja;

import java.util.List;

/**
 * A rendered text and where its characters came from.
 *
 * @param text the text
 * @param runs neighbouring, covering the text from 0 to its length; no two neighbours share an
 *     origin
 */
public record Rendering(String text, List<Run> runs) {
  public Rendering {
    runs = List.copyOf(runs);
  }

  /**
   * Characters {@code [begin, end)} (UTF-16 indices) of one origin: 0 for the template, otherwise
   * what a {@link Traced} named.
   */
  public record Run(int begin, int end, int origin) {}
}
