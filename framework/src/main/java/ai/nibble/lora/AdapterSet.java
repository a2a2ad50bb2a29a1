package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * Several adapters in memory beside one base, of which one is on, or none, or a weighted sum of
 * some. Switching moves no weights of the base. Closing it takes the one that is on off and frees
 * all; close it before the model.
 */
public final class AdapterSet implements AutoCloseable {
  /** What stands for no adapter where a name is asked for. */
  public static final String OFF = "off";

  private final CausalLm model;
  private final Map<String, LoraAdapter> adapters = new LinkedHashMap<>();
  private String active = OFF;
  private AdapterMix mix;

  /**
   * @param model without an adapter; stays the caller's
   */
  public AdapterSet(CausalLm model) {
    this.model = model;
  }

  /**
   * Loads an adapter, which stays off.
   *
   * @param name to select it by
   * @param directory in PEFT's form
   * @throws InvalidInputException if the name is taken or {@code off}, or as {@link
   *     AdapterStore#load}
   */
  public void load(String name, Path directory) {
    if (name.equals(OFF) || adapters.containsKey(name)) {
      throw new InvalidInputException(
          "adapter name '" + name + "' is taken, expected another for " + directory);
    }
    LoraAdapter adapter;
    try {
      adapter = AdapterStore.load(model, directory);
    } finally {
      attach(); // loading put the new one on, whole or in part
    }
    adapter.detach();
    adapters.put(name, adapter);
  }

  /**
   * Switches an adapter on, and the one before off.
   *
   * @param name of an adapter, or {@link #OFF}
   * @throws InvalidInputException if there is none of that name; all stays as it was
   */
  public void select(String name) {
    requireKnown(name);
    detach();
    active = name;
    attach();
  }

  /**
   * Switches a sum of adapters on, {@code W + Σ weightᵢ · sᵢ · Bᵢ·Aᵢ}, and what was on before off.
   * It takes the memory of those adapters once more.
   *
   * @param weights of adapters by name, at least one; any number, negative ones too
   * @throws InvalidInputException if there is none of a name, a weight is not finite, or an adapter
   *     is more than a product, as one of DoRA; all stays as it was
   */
  public void select(Map<String, Double> weights) {
    List<AdapterMix.Part> parts = new ArrayList<>();
    weights.forEach(
        (name, weight) -> {
          requireKnown(name);
          if (name.equals(OFF) || !Double.isFinite(weight)) {
            throw new InvalidInputException(
                "adapter '" + name + "' has weight " + weight + ", expected a name and a number");
          }
          parts.add(new AdapterMix.Part(name, adapters.get(name), weight));
        });
    if (parts.isEmpty()) {
      throw new InvalidInputException("no adapters to sum up, expected some of " + names());
    }
    AdapterMix made = new AdapterMix(model, parts);
    detach();
    mix = made;
    active =
        parts.stream()
            .map(part -> part.name() + "=" + part.weight())
            .collect(Collectors.joining(" + "));
    attach();
  }

  /**
   * Checks a name that may be selected.
   *
   * @throws InvalidInputException if it is none; it lists those there are
   */
  public void requireKnown(String name) {
    requireKnown(name, names());
  }

  /** As {@link #requireKnown(String)}, for adapters that are not loaded yet. */
  public static void requireKnown(String name, List<String> names) {
    List<String> all = new ArrayList<>(names);
    all.add(OFF);
    if (!all.contains(name)) {
      throw new InvalidInputException(
          "no adapter '"
              + name
              + "', expected one of "
              + all
              + Nearest.of(name, all).map(near -> " (did you mean '" + near + "'?)").orElse(""));
    }
  }

  private void attach() {
    if (mix != null) {
      mix.attach();
    }
    Optional.ofNullable(adapters.get(active)).ifPresent(LoraAdapter::attach);
  }

  private void detach() {
    if (mix != null) {
      mix.close();
      mix = null;
    }
    Optional.ofNullable(adapters.get(active)).ifPresent(LoraAdapter::detach);
  }

  /** Names in the order of loading. */
  public List<String> names() {
    return List.copyOf(adapters.keySet());
  }

  /** The adapter that is on, the sum in words, or {@link #OFF}. */
  public String active() {
    return active;
  }

  @Override
  public void close() {
    detach();
    adapters.values().forEach(LoraAdapter::close);
    adapters.clear();
    active = OFF;
  }
}
