package ai.nibble.export.merge;

import java.util.List;

/**
 * What an extraction found.
 *
 * @param modules those that differ, in the model's order
 * @param explained share of all modules' squared differences that the adapter holds
 */
public record ExtractReport(List<Module> modules, double explained) {
  public ExtractReport {
    modules = List.copyOf(modules);
  }

  /**
   * A module that differs.
   *
   * @param norm of the difference (Frobenius)
   * @param explained share of its square that the adapter holds
   */
  public record Module(String path, double norm, double explained) {}
}
