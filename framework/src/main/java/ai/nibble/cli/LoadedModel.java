package ai.nibble.cli;

import ai.nibble.generate.Generator;
import ai.nibble.lora.AdapterSet;
import ai.nibble.model.CausalLm;
import ai.nibble.tensor.Scope;

/** A model with its adapters, ready to generate. */
record LoadedModel(CausalLm model, AdapterSet adapters, Generator generator, Scope scope)
    implements AutoCloseable {

  /**
   * Loads the adapters, of which the first is on.
   *
   * @param model taken over
   */
  static LoadedModel of(CausalLm model, ModelRequest request) {
    Scope scope = new Scope();
    try {
      scope.own(model);
      AdapterSet adapters = scope.own(new AdapterSet(model));
      request.adapters().forEach(adapters::load);
      adapters.select(request.firstAdapter());
      return new LoadedModel(model, adapters, scope.own(new Generator(model)), scope);
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  /** Switches to another adapter, or off. */
  void select(String adapter) {
    generator.select(adapters, adapter);
  }

  @Override
  public void close() {
    scope.close();
  }
}
