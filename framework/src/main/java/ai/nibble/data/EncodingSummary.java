package ai.nibble.data;

import java.util.ArrayList;
import java.util.List;

/**
 * What became of the rows of a data set.
 *
 * @param rows read
 * @param examples made
 * @param tokens in the examples
 * @param lossTokens of these, how many carry loss
 * @param longest tokens of the longest row, before anything was cut
 * @param highestId highest token id of the examples
 * @param tooLong rows left out for their length
 * @param truncated rows cut to the length
 * @param withoutLoss rows left out as no token of theirs carries loss
 * @param callsAsText rows whose tool calls the template ignores, so that they stand as JSON text
 * @param toolsUnseen rows whose tools the template ignores
 * @param controlsAsText rows that spell control tokens, which became plain text
 * @param alike pairs left out as their two answers are the same
 */
public record EncodingSummary(
    long rows,
    long examples,
    long tokens,
    long lossTokens,
    int longest,
    int highestId,
    long tooLong,
    long truncated,
    long withoutLoss,
    long callsAsText,
    long toolsUnseen,
    long controlsAsText,
    long alike) {

  /** One line with the counts, then one for each thing that was unusual. */
  public List<String> lines() {
    List<String> lines = new ArrayList<>();
    lines.add(
        examples
            + " examples of "
            + rows
            + " rows, "
            + tokens
            + " tokens, "
            + lossTokens
            + " with loss, longest row "
            + longest);
    note(lines, tooLong, "left out: longer than sequence_len");
    note(lines, truncated, "cut to sequence_len");
    note(lines, withoutLoss, "left out: no token carries loss");
    note(lines, alike, "left out: the chosen and the rejected answer are the same");
    note(lines, callsAsText, "with tool calls as JSON text: the chat template ignores tool_calls");
    note(lines, toolsUnseen, "with tools that the chat template ignores");
    note(lines, controlsAsText, "with control tokens in their text, encoded as plain text");
    return lines;
  }

  private static void note(List<String> lines, long rows, String what) {
    if (rows > 0) {
      lines.add(rows + (rows == 1 ? " row " : " rows ") + what);
    }
  }
}
