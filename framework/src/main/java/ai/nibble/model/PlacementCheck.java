package ai.nibble.model;

import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** Whether a device map places each module of a model once, and each decoder layer as a whole. */
public final class PlacementCheck {
  /**
   * What transformers' maps may name besides: it holds no weights, and every device has its own.
   */
  private static final String ROTARY = "model.rotary_emb";

  private final ModelConfig config;
  private final Map<String, Device> map;
  private final Set<String> names;
  private final List<Problem> found = new ArrayList<>();

  private PlacementCheck(ModelConfig config, Map<String, Device> map) {
    this.config = config;
    this.map = map;
    this.names = DecoderParameters.shapes(config).keySet();
  }

  /**
   * Something wrong with a map.
   *
   * @param module the path that it is about; empty: the map
   * @param what after the path's name, with what to do
   */
  public record Problem(Optional<String> module, String what) {}

  /**
   * All that is wrong.
   *
   * @param map devices by module path
   */
  public static List<Problem> of(ModelConfig config, Map<String, Device> map) {
    PlacementCheck check = new PlacementCheck(config, map);
    check.keysThatCoverNothing();
    check.contradictions();
    if (check.found.isEmpty()) {
      check.parts();
      check.tiedHead();
    }
    return check.found;
  }

  /** A map without problems as a placement of every module, a tied head's among them. */
  public static Placement complete(ModelConfig config, Placement placement) {
    Map<String, Device> modules = new LinkedHashMap<>(placement.modules());
    if (config.tieWordEmbeddings()) {
      modules.put(CausalLm.HEAD, placement.first());
    }
    return new Placement(modules);
  }

  private void keysThatCoverNothing() {
    map.keySet()
        .forEach(
            path -> {
              boolean covers =
                  names.stream().anyMatch(name -> Placement.covers(path, name))
                      || path.equals(CausalLm.HEAD)
                      || path.equals(ROTARY);
              if (!covers) {
                add(path, "covers no module of this base, which has " + modules());
              }
            });
  }

  private String modules() {
    int layers = config.numHiddenLayers();
    return CausalLm.EMBEDDING
        + ", "
        + Placement.layer(0)
        + (layers > 1 ? " to " + Placement.layer(layers - 1) : "")
        + ", "
        + CausalLm.NORM
        + " and "
        + CausalLm.HEAD;
  }

  private void contradictions() {
    map.forEach(
        (path, device) ->
            map.forEach(
                (whole, other) -> {
                  if (!whole.equals(path)
                      && Placement.covers(whole, path)
                      && !other.equals(device)) {
                    add(
                        path,
                        "is "
                            + device
                            + ", but '"
                            + whole
                            + "', which it is a part of, is "
                            + other
                            + ": name each module once");
                  }
                }));
  }

  private void parts() {
    List<String> missing = new ArrayList<>();
    List<String> parts = new ArrayList<>(List.of(CausalLm.EMBEDDING));
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      parts.add(Placement.layer(i));
    }
    parts.add(CausalLm.NORM);
    if (!config.tieWordEmbeddings()) {
      parts.add(CausalLm.HEAD);
    }
    for (String part : parts) {
      Map<Device, String> paths = new LinkedHashMap<>();
      Set<String> uncovered = new LinkedHashSet<>();
      for (String name : names) {
        if (Placement.covers(part, name)) {
          Optional<String> path = path(name);
          path.ifPresent(p -> paths.putIfAbsent(map.get(p), p));
          if (path.isEmpty()) {
            uncovered.add(name);
          }
        }
      }
      if (paths.size() > 1) {
        split(part, paths);
      } else if (!paths.isEmpty() && !uncovered.isEmpty()) {
        add(
            paths.values().iterator().next(),
            "is a part of '"
                + part
                + "', of which "
                + uncovered.iterator().next()
                + " has no device: name '"
                + part
                + "'");
      } else if (!uncovered.isEmpty()) {
        missing.add(part);
      }
    }
    if (!missing.isEmpty()) {
      found.add(
          new Problem(
              Optional.empty(),
              "says no device for "
                  + Placement.text(missing)
                  + ": name each module, or several by a path such as 'model.layers'"));
    }
  }

  private Optional<String> path(String name) {
    return map.keySet().stream().filter(path -> Placement.covers(path, name)).findFirst();
  }

  private void split(String part, Map<Device, String> paths) {
    String where =
        paths.entrySet().stream()
            .map(e -> "'" + e.getValue() + "' on " + e.getKey())
            .collect(Collectors.joining(" and "));
    add(
        paths.values().iterator().next(),
        "splits '"
            + part
            + "', "
            + where
            + ": it is computed on one device, name '"
            + part
            + "' instead");
  }

  private void tiedHead() {
    Optional<String> head = path(CausalLm.HEAD);
    Optional<String> embedding = path(CausalLm.EMBEDDING);
    if (config.tieWordEmbeddings()
        && head.isPresent()
        && embedding.isPresent()
        && !map.get(head.get()).equals(map.get(embedding.get()))) {
      add(
          head.get(),
          "is "
              + map.get(head.get())
              + ", but the head's weight is the embedding's, and '"
              + embedding.get()
              + "' is "
              + map.get(embedding.get())
              + ": give both one device");
    }
  }

  private void add(String path, String what) {
    found.add(new Problem(Optional.of(path), what));
  }
}
