package ai.nibble.report;

import java.util.List;
import java.util.function.Predicate;

/** Answers before and after training, those that are wrong after it first. */
final class AnswerSection {
  /** So much of the page they may take, in characters. */
  private static final int MOST_CHARACTERS = 300_000;

  /** Rows that are shown: what is wrong has more to say. */
  private static final int MOST_WRONG = 40;

  private static final int MOST_RIGHT = 12;

  /** Characters of a text that are shown. */
  private static final int MOST_TEXT = 1200;

  private final List<RunFolder.Answer> answers;
  private final boolean isOver;

  AnswerSection(List<RunFolder.Answer> answers) {
    this.answers = answers;
    this.isOver = answers.stream().allMatch(answer -> answer.after() != null);
  }

  void write(Html html) {
    if (answers.isEmpty()) {
      return;
    }
    html.raw("<section>\n<h2>Answers to held-out rows</h2>\n");
    if (isOver) {
      html.element(
          "p",
          "note",
          count(answer -> answer.afterRight())
              + " of "
              + answers.size()
              + " are right after training, "
              + count(answer -> answer.beforeRight())
              + " were before. "
              + count(answer -> answer.afterRight() && !answer.beforeRight())
              + " became right, "
              + count(answer -> answer.beforeRight() && !answer.afterRight())
              + " became wrong.");
      group(html, "Wrong after training", MOST_WRONG, answer -> !answer.afterRight());
      group(html, "Right after training", MOST_RIGHT, RunFolder.Answer::afterRight);
    } else {
      html.element(
          "p", "note", "Before training; the answers after it come when the run is finished.");
      group(html, "Answers", MOST_WRONG, answer -> true);
    }
    html.raw("</section>\n");
  }

  private long count(Predicate<RunFolder.Answer> which) {
    return answers.stream().filter(which).count();
  }

  private void group(Html html, String title, int most, Predicate<RunFolder.Answer> which) {
    List<RunFolder.Answer> all = answers.stream().filter(which).toList();
    if (all.isEmpty()) {
      return;
    }
    Html rows = new Html();
    int shown = 0;
    while (shown < Math.min(all.size(), most) && rows.length() < MOST_CHARACTERS / 2) {
      write(rows, all.get(shown++));
    }
    String rest = shown == all.size() ? "" : "; the first " + shown + ", all are in answers.jsonl";
    html.element("h3", title + " (" + all.size() + rest + ")").raw("\n").raw(rows.toString());
  }

  private void write(Html html, RunFolder.Answer answer) {
    html.raw("<div class=\"answer\">").element("p", "request", shown(answer.request()));
    html.raw("<dl>").element("dt", "expected").element("dd", shown(answer.expected()));
    line(html, "before", answer.before(), answer.beforeRight());
    if (answer.after() != null) {
      line(html, "after", answer.after(), answer.afterRight());
    }
    html.raw("</dl></div>\n");
  }

  /** The mark is a word and a sign, not a colour alone. */
  private static void line(Html html, String label, String text, boolean right) {
    html.raw("<dt>").text(label);
    html.element("span", right ? "mark good" : "mark bad", right ? "✓ right" : "✗ wrong");
    html.raw("</dt>").element("dd", shown(text));
  }

  private static String shown(String text) {
    return text.isBlank() ? "(nothing)" : Html.shortened(text.strip(), MOST_TEXT);
  }
}
