package ai.nibble.cli;

import ai.nibble.model.Checkpointing;
import ai.nibble.model.Placement;
import ai.nibble.plan.Component;
import ai.nibble.plan.DevicePlan;
import ai.nibble.plan.DeviceUse;
import ai.nibble.plan.DiskPlan;
import ai.nibble.plan.MemoryPlan;
import ai.nibble.plan.Phase;
import ai.nibble.plan.Sizes;
import ai.nibble.recipe.RecipePlan;
import ai.nibble.recipe.RecipePlan.Alternative;
import ai.nibble.recipe.VocabularyChange;
import ai.nibble.tensor.Device;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** A plan of memory as people and programs read it. */
final class PlanText {
  private static final int LABEL = 30;
  private static final int COLUMN = 11;

  private PlanText() {}

  static String table(RecipePlan plan) {
    MemoryPlan memory = plan.plan();
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "rows: %,d to train on, %,d to evaluate on; the largest micro-batch: %d rows, %,d"
                + " tokens, %,d with loss%n",
            plan.rowCounts()[0],
            plan.rowCounts()[1],
            plan.largestBatch().sequences(),
            plan.largestBatch().tokens(),
            plan.largestBatch().lossTokens()));
    text.append(
        String.format(
            Locale.ROOT,
            "computed on %s in %s, gradient_checkpointing: %s%n",
            place(plan),
            plan.computeDtype().torchName(),
            word(plan.checkpointing())));
    plan.vocabulary().lines().forEach(line -> text.append(line).append('\n'));
    text.append('\n');
    Optional<DevicePlan> devices = plan.devices();
    if (devices.isPresent()) {
      text.append(devices(devices.get()));
      text.append(kept(plan));
      plan.alternatives().forEach(a -> text.append(line(a.setting(), a.bytes(), a.fits())));
      return text.append(plan.alternatives().isEmpty() ? "" : "\n").append(end(plan)).toString();
    }
    List<Phase> phases = List.copyOf(memory.phases().keySet());
    text.append(row("", phases.stream().map(p -> p.name().toLowerCase(Locale.ROOT)).toList()));
    for (Component component : Component.values()) {
      List<String> cells = phases.stream().map(p -> cell(memory.bytes(p, component))).toList();
      if (cells.stream().anyMatch(cell -> !cell.isEmpty())) {
        text.append(row(component.label(), cells));
      }
    }
    text.append(row("total", phases.stream().map(p -> cell(memory.total(p))).toList()));
    text.append('\n');
    plan.plans()
        .forEach(
            (mode, other) ->
                text.append(
                    line(
                        "gradient_checkpointing: " + word(mode),
                        other.peak(),
                        plan.budget().holds(other.peak()))));
    plan.alternatives().stream()
        .filter(a -> !a.setting().startsWith("gradient_checkpointing"))
        .forEach(a -> text.append(line(a.setting(), a.bytes(), a.fits())));
    text.append(
        String.format(
            Locale.ROOT,
            "%n%s: %s free of %s%n",
            plan.budget().place(),
            Sizes.text(plan.budget().available()),
            Sizes.text(plan.budget().total())));
    text.append(kept(plan));
    return text.append(end(plan)).toString();
  }

  /** Which layers keep their weights dequantised; empty where none do. */
  private static String kept(RecipePlan plan) {
    return plan.kept().isEmpty() ? "" : "kept dequantised: " + plan.kept().modules() + "\n";
  }

  private static String end(RecipePlan plan) {
    String offloaded =
        plan.onHost() > 0
            ? "offloaded to the main memory: " + Sizes.text(plan.onHost()) + ", page-locked\n"
            : "";
    return offloaded
        + "output_dir: "
        + plan.disk().text()
        + "\n"
        + plan.shortage()
            .map(s -> "does not fit: " + s)
            .orElse(plan.fitsDisk() ? "fits" : "fits the memory, but not the disk")
        + "\n";
  }

  private static String place(RecipePlan plan) {
    List<String> devices =
        plan.devices().stream()
            .flatMap(d -> d.uses().stream())
            .map(use -> use.room().device().toString())
            .toList();
    if (!devices.isEmpty()) {
      return String.join(", ", devices);
    }
    boolean cpu = plan.where() == Device.Type.CPU;
    if (plan.workers() == 1) {
      return cpu ? "the CPU" : "a GPU";
    }
    return cpu
        ? "the CPU by " + plan.workers() + " workers"
        : plan.workers() + " GPUs, each with what follows,";
  }

  /** A column for each device, then what is on it. */
  private static String devices(DevicePlan plan) {
    List<DeviceUse> uses = plan.uses();
    if (uses.isEmpty()) {
      return "";
    }
    StringBuilder text = new StringBuilder();
    text.append(row("", uses.stream().map(u -> u.room().device().toString()).toList()));
    for (Component component : Component.values()) {
      List<String> cells =
          uses.stream().map(u -> cell(u.bytes().getOrDefault(component, 0L))).toList();
      if (cells.stream().anyMatch(cell -> !cell.isEmpty())) {
        text.append(row(component.label(), cells));
      }
    }
    text.append(row("total", uses.stream().map(u -> cell(u.total())).toList()));
    text.append(row("free", uses.stream().map(u -> cell(free(u))).toList())).append('\n');
    for (DeviceUse use : uses) {
      text.append(use.room().device() + ": " + Placement.text(use.modules())).append('\n');
    }
    return text.append('\n').toString();
  }

  private static long free(DeviceUse use) {
    return use.room().budget().available();
  }

  private static String word(Checkpointing mode) {
    return mode.name().toLowerCase(Locale.ROOT);
  }

  private static String cell(long bytes) {
    return bytes == 0 ? "" : Sizes.text(bytes);
  }

  private static String line(String setting, long bytes, boolean fits) {
    return String.format(
        Locale.ROOT, "%-60s %9s  %s%n", setting, Sizes.text(bytes), fits ? "fits" : "does not fit");
  }

  private static String row(String label, List<String> cells) {
    StringBuilder line = new StringBuilder(String.format("%-" + LABEL + "s", label));
    cells.forEach(cell -> line.append(String.format("%" + COLUMN + "s", cell)));
    return line.toString().stripTrailing() + "\n";
  }

  /** One object, sizes in bytes. */
  static String json(RecipePlan plan) {
    Map<String, Object> root = new LinkedHashMap<>();
    root.put("device", plan.where().name().toLowerCase(Locale.ROOT));
    root.put("workers", plan.workers());
    root.put("compute_dtype", plan.computeDtype().torchName());
    root.put("gradient_checkpointing", word(plan.checkpointing()));
    root.put("vocabulary", vocabulary(plan.vocabulary()));
    root.put("train_rows", plan.rowCounts()[0]);
    root.put("eval_rows", plan.rowCounts()[1]);
    Map<String, Object> batch = new LinkedHashMap<>();
    batch.put("rows", plan.largestBatch().sequences());
    batch.put("tokens", plan.largestBatch().tokens());
    batch.put("loss_tokens", plan.largestBatch().lossTokens());
    root.put("largest_micro_batch", batch);
    Map<String, Object> phases = new LinkedHashMap<>();
    plan.plan().phases().forEach((phase, components) -> phases.put(key(phase), parts(components)));
    root.put("phases", phases);
    root.put("peak_bytes", plan.plan().peak());
    Map<String, Object> modes = new LinkedHashMap<>();
    plan.plans().forEach((mode, other) -> modes.put(word(mode), other.peak()));
    root.put("peak_bytes_by_gradient_checkpointing", modes);
    root.put("offloaded_bytes", plan.onHost());
    root.put("kept_dequantized_layers", plan.kept().layers());
    root.put("kept_dequantized_bytes", plan.kept().total());
    root.put("available_bytes", plan.budget().available());
    root.put("total_bytes", plan.budget().total());
    plan.devices()
        .ifPresent(d -> root.put("devices", d.uses().stream().map(PlanText::device).toList()));
    root.put("fits", plan.fits());
    List<Object> alternatives = new ArrayList<>();
    plan.alternatives().forEach(a -> alternatives.add(alternative(a)));
    root.put("alternatives", alternatives);
    root.put("disk", disk(plan.disk()));
    try {
      return new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(root)
          + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  /** As {@code inspect} has it, too. */
  static Map<String, Object> vocabulary(VocabularyChange change) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("rows", change.after());
    map.put("rows_stored", change.before());
    map.put("new_tokens", change.added());
    map.put("trained_rows", change.rows());
    map.put("tied", change.tied());
    map.put("untied_by", change.parts().orElse(null));
    return map;
  }

  private static Map<String, Object> device(DeviceUse use) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("device", use.room().device().toString());
    map.put("modules", use.modules());
    map.put("bytes", parts(use.bytes()));
    map.put("available_bytes", free(use));
    map.put("fits", use.fits());
    return map;
  }

  private static Map<String, Object> disk(DiskPlan disk) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("base_bytes", disk.base());
    map.put("result_bytes", disk.result());
    map.put("checkpoint_bytes", disk.checkpoint());
    map.put("checkpoints", disk.saves());
    map.put("checkpoints_at_once", disk.atOnce());
    map.put("needed_bytes", disk.needed());
    map.put("free_bytes", disk.free());
    map.put("fits", disk.fits());
    return map;
  }

  private static String key(Phase phase) {
    return phase.name().toLowerCase(Locale.ROOT);
  }

  private static Map<String, Object> parts(Map<Component, Long> components) {
    Map<String, Object> parts = new LinkedHashMap<>();
    components.forEach((component, bytes) -> parts.put(component.key(), bytes));
    parts.put("total", components.values().stream().mapToLong(Long::longValue).sum());
    return parts;
  }

  private static Map<String, Object> alternative(Alternative a) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("setting", a.setting());
    map.put("peak_bytes", a.bytes());
    map.put("fits", a.fits());
    return map;
  }
}
