package ai.nibble.model;

/** What the modules of a mixture of experts are called behind a layer's prefix. */
public enum ExpertNames {
  MIXTRAL("block_sparse_moe", "w1", "w3", "w2"),
  QWEN("mlp", "gate_proj", "up_proj", "down_proj");

  private final String block;
  private final String gate;
  private final String up;
  private final String down;

  ExpertNames(String block, String gate, String up, String down) {
    this.block = block;
    this.gate = gate;
    this.up = up;
    this.down = down;
  }

  /** The linear whose outputs choose, {@code [experts, hidden]}. */
  String router() {
    return block + "." + routerName();
  }

  /** The router's own name, the last of its path. */
  String routerName() {
    return "gate";
  }

  /** Before an expert's number and its linears. */
  String experts() {
    return block + ".experts.";
  }

  String gate(int expert) {
    return experts() + expert + "." + gate;
  }

  String up(int expert) {
    return experts() + expert + "." + up;
  }

  String down(int expert) {
    return experts() + expert + "." + down;
  }

  /** llama.cpp's name of the tensor of all experts' linears of a name; null for another name. */
  String ggufName(String linear) {
    if (linear.equals(gate)) {
      return "ffn_gate_exps";
    }
    if (linear.equals(up)) {
      return "ffn_up_exps";
    }
    return linear.equals(down) ? "ffn_down_exps" : null;
  }

  /** The linear of such a tensor; null for another. */
  String linear(String ggufName) {
    return switch (ggufName) {
      case "ffn_gate_exps" -> gate;
      case "ffn_up_exps" -> up;
      case "ffn_down_exps" -> down;
      default -> null;
    };
  }
}
