package ai.nibble;

import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;

/** Why a file could not be read or written, in a person's words. */
public final class FileProblem {
  private FileProblem() {}

  /** The reason: what was said when it was thrown, or that of what it stands for. */
  public static String reason(UncheckedIOException e) {
    boolean said = e.getMessage() != null && !e.getMessage().equals(e.getCause().toString());
    return said ? e.getMessage() : reason(e.getCause());
  }

  /**
   * The reason. Java's own message of the commonest failures is the file's name and nothing else,
   * and often that of a hidden temporary file.
   */
  public static String reason(IOException e) {
    if (e instanceof NoSuchFileException) {
      return "no such file or directory";
    }
    if (e instanceof AccessDeniedException) {
      return "permission denied";
    }
    if (e instanceof FileAlreadyExistsException || e instanceof NotDirectoryException) {
      return "a file is in its way";
    }
    if (e instanceof FileSystemException file && file.getReason() != null) {
      return file.getReason();
    }
    if (e instanceof CharacterCodingException) {
      return "not valid UTF-8";
    }
    if (e instanceof EOFException) {
      return "it ends too early";
    }
    if (e instanceof ClosedByInterruptException) {
      return "interrupted";
    }
    return e.getMessage() == null ? "no reason is given" : e.getMessage();
  }
}
