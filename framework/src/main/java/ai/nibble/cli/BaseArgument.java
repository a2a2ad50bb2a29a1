package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * A base on the command line: a path, or the id of a model on the Hugging Face hub, which is taken
 * out of the cache or fetched.
 */
final class BaseArgument implements ITypeConverter<Path> {
  /** How it is called in the help of an option. */
  static final String LABEL = "DIR|GGUF|ID";

  @Override
  public Path convert(String value) {
    try {
      Path path = Path.of(value);
      Optional<HubId> id = Files.exists(path) ? Optional.empty() : HubId.parse(value);
      return id.isPresent() ? HubModels.ofEnvironment().locate(id.get()) : path;
    } catch (InvalidPathException e) {
      throw new TypeConversionException("'" + value + "' is no path: " + e.getReason());
    } catch (InvalidInputException e) {
      throw new TypeConversionException("nothing is at '" + value + "', and " + e.getMessage());
    }
  }
}
