package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class TerminalTest {
  private final StringWriter screen = new StringWriter();

  private Terminal terminal(InputStream in, boolean interactive) {
    PrintWriter writer = new PrintWriter(screen);
    return new Terminal(in, writer, writer, interactive);
  }

  @Test
  void theEndOfTheInputLeavesThePromptsLine() {
    assertEquals(Optional.empty(), terminal(InputStream.nullInputStream(), true).turn());
    assertEquals("> " + System.lineSeparator(), screen.toString());
  }

  @Test
  void overAPipeNothingIsAskedAndNothingAdded() {
    assertTrue(terminal(InputStream.nullInputStream(), false).turn().isEmpty());
    assertEquals("", screen.toString());
  }

  /** Ctrl-C while a person is being asked. */
  @Test
  void whatIsSaidMeanwhileStandsOnItsOwnLineAndThePromptComesAgain() {
    Terminal[] self = new Terminal[1];
    InputStream interrupted =
        new InputStream() {
          @Override
          public int read() {
            self[0].interject("a hint");
            return -1;
          }
        };
    self[0] = terminal(interrupted, true);
    assertTrue(self[0].turn().isEmpty());
    assertEquals("> |a hint|> |", screen.toString().replace(System.lineSeparator(), "|"));
  }

  @Test
  void itsWidthIsWhatTheSystemSaysOrEighty() {
    assertEquals(132, Terminal.columns(List.of("echo", "43 132")));
    assertEquals(80, Terminal.columns(List.of("echo", "0 0"))); // a terminal that does not know
    assertEquals(80, Terminal.columns(List.of("echo", "no terminal")));
    assertEquals(80, Terminal.columns(List.of("false")));
    assertEquals(80, Terminal.columns(List.of("there-is-no-such-command")));
  }
}
