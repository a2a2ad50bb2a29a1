package ai.nibble.report;

import ai.nibble.FileSum;
import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.Manifest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Whether what was trained, its base and its data are still what {@code provenance.json} says.
 *
 * @param directory of the adapter, model or checkpoint
 * @param items one for each file
 */
public record Verification(Path directory, List<Item> items) {
  public Verification {
    items = List.copyOf(items);
  }

  /** Whose file it is. */
  public enum Part {
    /** In the directory itself. */
    OUTPUT,
    BASE,
    DATA
  }

  /**
   * A file that was looked for.
   *
   * @param name in the directory or base, or the recipe's key for data
   * @param path where
   * @param detail how it differs; empty where it does not
   */
  public record Item(Part part, String name, Path path, FileSum.State state, String detail) {}

  /**
   * Where to look.
   *
   * @param base empty: where it was in training
   * @param data by the recipe's keys; those that are not there: where they were in training
   * @param skipped parts not to look for
   */
  public record Places(Optional<Path> base, Map<String, Path> data, List<Part> skipped) {
    public Places {
      data = Map.copyOf(data);
      skipped = List.copyOf(skipped);
    }
  }

  /** Whether all is as it was. */
  public boolean holds() {
    return items.stream().allMatch(item -> item.state() == FileSum.State.OK);
  }

  /**
   * Compares; all of every file is read.
   *
   * @throws InvalidInputException if there is no provenance, or it is not of its form
   * @throws IOException if a file that is there cannot be read
   */
  public static Verification of(Path directory, Places places) throws IOException {
    ProvenanceFile provenance = ProvenanceFile.read(directory);
    List<Item> items = new ArrayList<>();
    Map<String, FileSum> own = new LinkedHashMap<>(provenance.files());
    if (Files.isRegularFile(directory.resolve(Manifest.NAME))) {
      own.putAll(Manifest.read(directory));
    }
    add(items, Part.OUTPUT, own, name -> directory.resolve(name));
    if (!places.skipped().contains(Part.BASE)) {
      ProvenanceFile.Base base = provenance.base();
      add(items, Part.BASE, base.files(), name -> baseFile(base, places.base(), name));
    }
    if (!places.skipped().contains(Part.DATA)) {
      for (ProvenanceFile.Data data : provenance.data()) {
        Path path = places.data().getOrDefault(data.key(), Path.of(data.path()));
        items.add(item(Part.DATA, data.key(), path, data.sum()));
      }
    }
    return new Verification(directory, items);
  }

  @FunctionalInterface
  private interface Lookup {
    Path of(String name);
  }

  private static void add(List<Item> items, Part part, Map<String, FileSum> sums, Lookup lookup)
      throws IOException {
    for (Map.Entry<String, FileSum> each : sums.entrySet()) {
      String name = each.getKey();
      if (name.isEmpty() || name.contains("/") || name.contains("\\") || name.equals("..")) {
        throw new InvalidInputException(
            ProvenanceFile.NAME + " lists '" + name + "', expected the name of a file");
      }
      items.add(item(part, name, lookup.of(name), each.getValue()));
    }
  }

  private static Item item(Part part, String name, Path path, FileSum sum) throws IOException {
    Optional<String> difference = sum.difference(path);
    FileSum.State state = difference.isEmpty() ? FileSum.State.OK : FileSum.State.CHANGED;
    return new Item(
        part,
        name,
        path,
        Files.isRegularFile(path) ? state : FileSum.State.MISSING,
        difference.orElse(""));
  }

  /** A base is a directory, or a GGUF file with its configuration and tokenizer beside it. */
  private static Path baseFile(ProvenanceFile.Base base, Optional<Path> elsewhere, String name) {
    Path trained = Path.of(base.path());
    Path at = elsewhere.orElse(trained);
    boolean isFile =
        Files.isRegularFile(at)
            || !Files.isDirectory(at)
                && base.files().containsKey(String.valueOf(trained.getFileName()));
    if (!isFile) {
      return at.resolve(name);
    }
    return name.equals(String.valueOf(trained.getFileName())) ? at : at.resolveSibling(name);
  }
}
