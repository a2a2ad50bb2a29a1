package ai.nibble.cli;

import ai.nibble.FileSum;
import ai.nibble.InvalidInputException;
import ai.nibble.report.ProvenanceFile;
import ai.nibble.report.Verification;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code nibble verify}. */
@Command(
    name = "verify",
    description = "Compares what was trained, its base and its data with provenance.json.",
    sortOptions = false,
    footer = {
      "",
      "Exit code: 0 all is as it was; 1 a file is changed or missing.",
      "Example:",
      "  nibble verify out/quickstart --base /models/nibble-5m"
    })
final class VerifyCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Parameters(paramLabel = "DIR", description = "An output_dir, or a checkpoint in it.")
  private Path directory;

  @Option(
      names = "--base",
      paramLabel = "DIR|GGUF",
      description = "Where the base is now; without it where it was in training.")
  private Optional<Path> base = Optional.empty();

  @Option(
      names = "--data",
      paramLabel = "KEY=FILE|DIR",
      description =
          "Where a file of rows is now, by its key in the recipe; or a directory that holds files"
              + " under their old names. Repeatable.")
  private List<String> data = List.of();

  @Option(names = "--skip-base", description = "Does not look for the base.")
  private boolean skipBase;

  @Option(names = "--skip-data", description = "Does not look for the data.")
  private boolean skipData;

  @Option(names = "--json", description = "One JSON object instead of text.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    List<Verification.Part> skipped = new ArrayList<>();
    if (skipBase) {
      skipped.add(Verification.Part.BASE);
    }
    if (skipData) {
      skipped.add(Verification.Part.DATA);
    }
    Map<String, Path> places = data.isEmpty() ? Map.of() : places();
    Verification verification =
        Verification.of(directory, new Verification.Places(base, places, skipped));
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(json(verification));
    } else {
      print(verification, out);
    }
    out.flush();
    return verification.holds() ? 0 : Failures.FAILED;
  }

  /** Where the files of rows are, by their keys. */
  private Map<String, Path> places() throws IOException {
    List<ProvenanceFile.Data> files = ProvenanceFile.read(directory).data();
    Map<String, Path> places = new LinkedHashMap<>();
    List<String> problems = new ArrayList<>();
    for (String option : data) {
      int equals = option.indexOf('=');
      String key = option.substring(0, Math.max(0, equals));
      Path path = Path.of(option.substring(equals + 1));
      if (files.stream().anyMatch(file -> file.key().equals(key))) {
        places.put(key, path);
      } else if (Files.isDirectory(Path.of(option))) {
        Path folder = Path.of(option);
        files.forEach(
            file ->
                places.putIfAbsent(
                    file.key(), folder.resolve(Path.of(file.path()).getFileName().toString())));
      } else {
        List<String> keys = files.stream().map(ProvenanceFile.Data::key).toList();
        problems.add(
            "--data is '" + option + "', expected a directory, or KEY=FILE with one of " + keys);
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    return places;
  }

  private static void print(Verification verification, PrintWriter out) {
    for (Verification.Item item : verification.items()) {
      String detail = item.detail().isEmpty() ? "" : ": " + item.detail();
      String name = item.part() == Verification.Part.DATA ? item.name() + "  " : "";
      out.printf(
          "%-8s %-7s %s%s%s%n", word(item.state()), word(item.part()), name, item.path(), detail);
    }
    long bad =
        verification.items().stream().filter(item -> item.state() != FileSum.State.OK).count();
    out.println(
        bad == 0
            ? "all " + verification.items().size() + " files are as they were"
            : bad + " of " + verification.items().size() + " files are not as they were");
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  private static String json(Verification verification) throws JsonProcessingException {
    ObjectMapper mapper = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    ObjectNode object = mapper.createObjectNode();
    object.put("directory", verification.directory().toString());
    object.put("ok", verification.holds());
    ArrayNode items = object.putArray("items");
    for (Verification.Item item : verification.items()) {
      ObjectNode each = items.addObject();
      each.put("part", word(item.part()));
      each.put("name", item.name());
      each.put("path", item.path().toString());
      each.put("state", word(item.state()));
      each.put("detail", item.detail());
    }
    return mapper.writeValueAsString(object);
  }
}
