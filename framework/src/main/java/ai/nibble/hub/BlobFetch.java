package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.WholeFile;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;

/**
 * Fetches one blob: on from where an earlier attempt broke off, and into place only when its size
 * and sum are right. One process fetches a blob at a time; the others wait for it.
 */
final class BlobFetch implements AutoCloseable {
  private static final int PIECE = 1 << 16;
  private static final long LOCK_PAUSE_MILLIS = 100;

  private final HubHttp http;
  private final HubSettings settings;
  private final Retry retry;
  private final ScheduledExecutorService watch =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "hub-stalls");
            thread.setDaemon(true);
            return thread;
          });

  BlobFetch(HubHttp http, HubSettings settings, Retry retry) {
    this.http = http;
    this.settings = settings;
    this.retry = retry;
  }

  /**
   * Fetches.
   *
   * @param uri of the bytes
   * @param progress hears of bytes that came, or were there already
   * @throws IOException if the disk fails
   * @throws InvalidInputException if the hub does
   */
  void run(HubId id, HubFile file, URI uri, HubCache cache, LongConsumer progress)
      throws IOException {
    Path lockFile = cache.lock(file);
    Files.createDirectories(lockFile.getParent());
    Files.createDirectories(cache.blob(file).getParent());
    try (FileChannel channel =
            FileChannel.open(lockFile, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        FileLock lock = lock(channel)) {
      assert lock.isValid();
      if (cache.isWhole(file)) {
        progress.accept(file.size());
        return;
      }
      Path part = cache.partOf(file);
      verifiedPart(id, file, uri, part, progress);
      WholeFile.move(part, cache.blob(file));
    }
  }

  /** Waits until no other process, and no other thread of this one, has it. */
  private static FileLock lock(FileChannel channel) throws IOException {
    while (true) {
      try {
        FileLock lock = channel.tryLock();
        if (lock != null) {
          return lock;
        }
      } catch (OverlappingFileLockException e) {
        // a thread of this process
      }
      try {
        Thread.sleep(LOCK_PAUSE_MILLIS);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted while another process fetches the same file", e);
      }
    }
  }

  /** Bytes of another kind than promised are thrown away and asked for once more. */
  private void verifiedPart(HubId id, HubFile file, URI uri, Path part, LongConsumer progress)
      throws IOException {
    for (boolean again : new boolean[] {true, false}) {
      fetch(id, file, uri, part, progress);
      String sum = file.isVerifiable() ? sum(file, part) : file.sum();
      if (sum.equals(file.sum())) {
        return;
      }
      progress.accept(-file.size());
      Files.delete(part);
      if (!again) {
        throw new InvalidInputException(
            "%s: %s has other bytes than the hub says (%s of them is %s, expected %s), twice: not kept"
                .formatted(
                    id,
                    RepoPath.shown(file.name()),
                    file.isSha256() ? "SHA-256" : "git's SHA-1",
                    sum,
                    file.sum()));
      }
    }
  }

  /** Asks until all bytes are there; an attempt that brought some does not count. */
  private void fetch(HubId id, HubFile file, URI uri, Path part, LongConsumer progress)
      throws IOException {
    String what = id + ": " + RepoPath.shown(file.name());
    try (FileChannel out =
        FileChannel.open(part, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      if (out.size() > file.size()) {
        out.truncate(0);
      }
      progress.accept(out.size());
      boolean done = false;
      while (!done) {
        done = retry.run(what, () -> attempt(id, file, uri, out, progress));
      }
      out.force(true);
    }
  }

  /**
   * One request.
   *
   * @return whether all bytes are there; else some more are than before
   * @throws IOException where none came
   */
  private boolean attempt(HubId id, HubFile file, URI uri, FileChannel out, LongConsumer progress)
      throws IOException, InterruptedException {
    long before = out.size();
    if (before == file.size()) {
      return true;
    }
    HttpResponse<InputStream> response = http.get(uri, before, id);
    try (InputStream body = response.body()) {
      require(id, file, response);
      long from = response.statusCode() == 206 ? start(response, before, file) : 0;
      if (from != before) { // all from the start: the server has no ranges, or not this one
        out.truncate(0);
        progress.accept(-before);
      }
      if (response.statusCode() == 416) {
        throw new IOException("the server has no bytes from " + before + " on");
      }
      copy(id, file, body, out, progress);
    } catch (IOException e) {
      if (out.size() > before) {
        return false; // go on from there
      }
      throw e;
    }
    if (out.size() < file.size()) {
      if (out.size() > before) {
        return false;
      }
      throw new IOException(
          "the server sent no more than " + before + " of " + file.size() + " bytes");
    }
    return true;
  }

  private static void require(HubId id, HubFile file, HttpResponse<?> response) {
    String encoding = response.headers().firstValue("Content-Encoding").orElse("identity");
    if (!encoding.equals("identity")) {
      throw new InvalidInputException(
          id
              + ": "
              + RepoPath.shown(file.name())
              + " comes encoded ("
              + RepoPath.shown(encoding)
              + "), which was not asked for: refused");
    }
  }

  /** Where the bytes of an answer begin; 0 makes all be fetched anew. */
  private static long start(HttpResponse<?> response, long asked, HubFile file) throws IOException {
    String range = response.headers().firstValue("Content-Range").orElse("");
    if (!range.matches("bytes " + asked + "-\\d{1,18}/(\\*|" + file.size() + ")")) {
      throw new IOException(
          "the server sends " + RepoPath.shown(range) + " for bytes from " + asked);
    }
    return asked;
  }

  private void copy(
      HubId id, HubFile file, InputStream body, FileChannel out, LongConsumer progress)
      throws IOException {
    byte[] piece = new byte[PIECE];
    long size = out.size();
    out.position(size);
    while (true) {
      int got = read(body, piece);
      if (got < 0) {
        return;
      }
      if (size + got > file.size()) {
        out.truncate(0);
        progress.accept(-size);
        throw new InvalidInputException(
            id
                + ": "
                + RepoPath.shown(file.name())
                + " is longer than the hub says, "
                + file.size()
                + " bytes: not kept");
      }
      ByteBuffer left = ByteBuffer.wrap(piece, 0, got);
      while (left.hasRemaining()) {
        out.write(left);
      }
      size += got;
      progress.accept(got);
    }
  }

  /** The client knows no limit for a body: closing it ends a read that hangs. */
  private int read(InputStream body, byte[] piece) throws IOException {
    ScheduledFuture<?> stall =
        watch.schedule(
            () -> close(body), settings.patience().stall().toMillis(), TimeUnit.MILLISECONDS);
    try {
      return body.read(piece);
    } catch (IOException e) {
      throw stall.isDone()
          ? new IOException("no byte came for " + settings.patience().stall().toSeconds() + " s", e)
          : e;
    } finally {
      stall.cancel(false);
    }
  }

  private static void close(InputStream body) {
    try {
      body.close();
    } catch (IOException e) {
      // what hung is over either way
    }
  }

  private static String sum(HubFile file, Path part) throws IOException {
    if (file.isSha256()) {
      return Sha256.of(part);
    }
    MessageDigest sum = sha1();
    sum.update(("blob " + file.size() + "\0").getBytes(StandardCharsets.US_ASCII));
    try (InputStream in = Files.newInputStream(part)) {
      byte[] piece = new byte[PIECE];
      for (int got = in.read(piece); got >= 0; got = in.read(piece)) {
        sum.update(piece, 0, got);
      }
    }
    return HexFormat.of().formatHex(sum.digest());
  }

  /** Git's sum of what is in no LFS; against accidents, as TLS stands against people. */
  private static MessageDigest sha1() {
    try {
      return MessageDigest.getInstance("SHA-1");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java has it
    }
  }

  @Override
  public void close() {
    watch.shutdownNow();
  }
}
