package ai.nibble.hub;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.slf4j.LoggerFactory;

/**
 * Models of a hub as directories, or GGUF files, on this disk.
 *
 * <p>What is in the cache is used as it is: a model does not change under a user who does not ask
 * for that. {@link #fetch} asks the hub what a revision is now.
 */
public final class HubModels {
  /** As many as browsers open to one host, roughly; more help no connection. */
  private static final int CONNECTIONS = 4;

  private final HubSettings settings;
  private final Consumer<String> notices;

  /** As the environment says; what goes on goes to this class's log. */
  public static HubModels ofEnvironment() {
    return new HubModels(
        HubSettings.ofEnvironment(), LoggerFactory.getLogger(HubModels.class)::info);
  }

  /**
   * @param notices takes a line for what goes on: progress, and what is tried again
   */
  public HubModels(HubSettings settings, Consumer<String> notices) {
    this.settings = settings;
    this.notices = notices;
  }

  /**
   * What would be fetched.
   *
   * @param snapshot where it goes
   * @param files all that the model needs but the shards of an index, with their sizes
   * @param bytes of those that are not there yet
   */
  public record Plan(String commit, Path snapshot, Map<String, Long> files, long bytes) {}

  /**
   * The model's directory or GGUF file: out of the cache where that has it, else fetched.
   *
   * @throws InvalidInputException if it cannot be had
   */
  public Path locate(HubId id) {
    return cached(id).orElseGet(() -> fetch(id));
  }

  /** The model's directory or GGUF file, where the cache has all of it; asks no network. */
  public Optional<Path> cached(HubId id) {
    HubCache cache = cache(id);
    return cache
        .commit(id.wanted())
        .map(cache::snapshot)
        .filter(snapshot -> ModelSelection.missing(id, snapshot).isEmpty())
        .map(snapshot -> base(id, snapshot));
  }

  /** The model that a path of a cache holds, with its commit as revision; empty for other paths. */
  public static Optional<HubId> idOf(String path) {
    return HubCache.idOf(path);
  }

  /**
   * Fetches what is missing of the model as it is now.
   *
   * @throws InvalidInputException if it cannot be had; what came whole is kept, and what came in
   *     part is gone on with the next time
   */
  public Path fetch(HubId id) {
    requireOnline(id);
    return guarded(
        id,
        session -> {
          List<String> first = ModelSelection.first(id, session.listing.names());
          session.fetch(first);
          if (first.contains(ModelSelection.INDEX)) {
            session.fetch(session.shards());
          }
          session.cache.remember(id.wanted(), session.listing.commit());
          return base(id, session.snapshot());
        });
  }

  /** Says what {@link #fetch} would fetch; of a model in shards the index alone is. */
  public Plan plan(HubId id) {
    requireOnline(id);
    return guarded(
        id,
        session -> {
          List<String> names = new ArrayList<>(ModelSelection.first(id, session.listing.names()));
          if (names.contains(ModelSelection.INDEX)) {
            session.fetch(List.of(ModelSelection.INDEX));
            names.addAll(session.shards());
          }
          Map<String, Long> sizes = new LinkedHashMap<>();
          long bytes = 0;
          for (HubFile file : session.files(names)) {
            sizes.put(file.name(), file.size());
            bytes += session.cache.has(session.listing.commit(), file) ? 0 : file.size();
          }
          return new Plan(session.listing.commit(), session.snapshot(), sizes, bytes);
        });
  }

  private interface Work<T> {
    T run(Session session) throws IOException;
  }

  private <T> T guarded(HubId id, Work<T> work) {
    try (Session session = new Session(id)) {
      return work.run(session);
    } catch (IOException e) {
      throw new InvalidInputException(
          id + ": cannot be kept in " + settings.cache() + ": " + FileProblem.reason(e), e);
    }
  }

  private void requireOnline(HubId id) {
    if (!settings.offline()) {
      return;
    }
    HubCache cache = cache(id);
    Optional<String> commit = cache.commit(id.wanted());
    String what =
        commit.isEmpty()
            ? "has no revision '" + id.wanted() + "' of it"
            : "lacks " + ModelSelection.missing(id, cache.snapshot(commit.get()));
    throw new InvalidInputException(
        id
            + ": the cache "
            + settings.cache()
            + " "
            + what
            + ", and HF_HUB_OFFLINE is set: fetch it with 'nibble download "
            + id
            + "' where there is a network");
  }

  private HubCache cache(HubId id) {
    return new HubCache(settings.cache(), id.repository());
  }

  /** What is given to whoever loads models. */
  private static Path base(HubId id, Path snapshot) {
    return id.file()
        .or(() -> ModelSelection.gguf(snapshot))
        .map(snapshot::resolve)
        .orElse(snapshot);
  }

  /** One repository at one commit. */
  private final class Session implements AutoCloseable {
    private final HubId id;
    private final HubHttp http = new HubHttp(settings);
    private final Retry retry = new Retry(settings.patience(), notices);
    private final BlobFetch blobs = new BlobFetch(http, settings, retry);
    private final HubCache cache;
    private final HubListing listing;

    Session(HubId id) throws IOException {
      this.id = id;
      this.cache = cache(id);
      this.listing = retry.run(id.toString(), () -> HubListing.read(http, id));
    }

    Path snapshot() {
      return cache.snapshot(listing.commit());
    }

    List<String> shards() {
      List<String> shards = ModelSelection.shards(id, snapshot().resolve(ModelSelection.INDEX));
      for (String shard : shards) {
        if (!listing.names().contains(shard)) {
          throw new InvalidInputException(
              id
                  + ": "
                  + ModelSelection.INDEX
                  + " names "
                  + RepoPath.shown(shard)
                  + ", which the repository lacks");
        }
      }
      return shards;
    }

    List<HubFile> files(List<String> names) throws IOException {
      names.forEach(name -> RepoPath.require(id.toString(), name));
      RepoPath.requireDistinct(id.toString(), names);
      List<HubFile> files = new ArrayList<>();
      for (String name : names) {
        files.add(retry.run(id.toString(), () -> listing.file(name, http, id)));
      }
      return files;
    }

    void fetch(List<String> names) throws IOException {
      Map<String, HubFile> missing = new LinkedHashMap<>(); // by sum: two files may be one blob
      List<HubFile> files = files(names);
      for (HubFile file : files) {
        if (!cache.isWhole(file) && !cache.has(listing.commit(), file)) {
          missing.put(file.sum(), file);
        }
        if (!file.isVerifiable()) {
          notices.accept(
              id + ": of " + file.name() + " the hub says no sum: its size alone is checked");
        }
      }
      requireSpace(missing.values());
      fetchAll(missing.values());
      for (HubFile file : files) {
        if (!cache.has(listing.commit(), file)) {
          cache.link(listing.commit(), file);
        }
      }
    }

    private void requireSpace(Collection<HubFile> files) throws IOException {
      long needed = 0;
      for (HubFile file : files) {
        Path part = cache.partOf(file);
        needed += file.size() - (Files.exists(part) ? Math.min(file.size(), Files.size(part)) : 0);
      }
      Files.createDirectories(settings.cache());
      long free = Files.getFileStore(settings.cache()).getUsableSpace();
      if (needed > free) {
        throw new InvalidInputException(
            id
                + ": needs "
                + HubProgress.size(needed)
                + " in "
                + settings.cache()
                + ", where "
                + HubProgress.size(free)
                + " are free: make room, or name another place with HF_HUB_CACHE");
      }
    }

    private void fetchAll(Collection<HubFile> files) throws IOException {
      if (files.isEmpty()) {
        return;
      }
      long total = files.stream().mapToLong(HubFile::size).sum();
      notices.accept(
          id
              + ": fetching "
              + files.size()
              + (files.size() == 1 ? " file, " : " files, ")
              + HubProgress.size(total));
      HubProgress progress = new HubProgress(id, total, notices);
      ExecutorService threads = Executors.newFixedThreadPool(CONNECTIONS);
      try {
        List<Future<?>> running = new ArrayList<>();
        for (HubFile file : files) {
          running.add(
              threads.submit(
                  () -> {
                    blobs.run(
                        id, file, http.uri(listing.resolve(id, file.name())), cache, progress::add);
                    return null;
                  }));
        }
        for (Future<?> each : running) {
          await(each);
        }
      } finally {
        threads.shutdownNow();
      }
    }

    private void await(Future<?> running) throws IOException {
      try {
        running.get();
      } catch (ExecutionException e) {
        if (e.getCause() instanceof InvalidInputException known) {
          throw known;
        }
        if (e.getCause() instanceof IOException io) {
          throw io;
        }
        throw new IllegalStateException(e.getCause());
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted while fetching", e);
      }
    }

    @Override
    public void close() {
      blobs.close();
    }
  }
}
