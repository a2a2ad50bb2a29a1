package ai.nibble.cli;

import java.lang.reflect.Proxy;

/**
 * What Ctrl-C does in a chat: it cancels the answer that is being written; between answers, and a
 * second time within one, it ends the program. Closing gives Ctrl-C back its meaning of before.
 */
final class Interrupts implements AutoCloseable {
  private final Runnable hint;
  private final Runnable end;
  private Runnable cancel;
  private boolean warned;
  private Object before;

  /**
   * @param hint what happens the first time between answers
   * @param end what ends the program
   */
  Interrupts(Runnable hint, Runnable end) {
    this.hint = hint;
    this.end = end;
  }

  /** Has the process's interrupts come here, where the virtual machine can. */
  void listen() {
    try {
      Class<?> handler = Class.forName("sun.misc.SignalHandler");
      before =
          handle(
              Proxy.newProxyInstance(
                  handler.getClassLoader(),
                  new Class<?>[] {handler},
                  (proxy, method, arguments) -> {
                    if (method.getName().equals("handle")) {
                      interrupt();
                    }
                    return null;
                  }));
    } catch (ReflectiveOperationException e) {
      before = null; // no such class, or -Xrs: Ctrl-C ends the program as always
    }
  }

  /**
   * Sets the handler of SIGINT and returns the one before. By reflection: the JDK supports these
   * classes (module jdk.unsupported) and has no others for it, but its compiler warns of them.
   */
  private static Object handle(Object handler) throws ReflectiveOperationException {
    Class<?> signal = Class.forName("sun.misc.Signal");
    Object interrupt = signal.getConstructor(String.class).newInstance("INT");
    return signal
        .getMethod("handle", signal, Class.forName("sun.misc.SignalHandler"))
        .invoke(null, interrupt, handler);
  }

  /** An answer begins. */
  synchronized void begin(Runnable cancelAnswer) {
    cancel = cancelAnswer;
    warned = false;
  }

  /** No answer is being written; a turn was entered, or one ended. */
  synchronized void idle() {
    cancel = null;
    warned = false;
  }

  void interrupt() {
    Runnable action;
    synchronized (this) {
      action = warned ? end : cancel != null ? cancel : hint;
      warned = true;
    }
    action.run();
  }

  @Override
  public void close() {
    if (before != null) {
      try {
        handle(before);
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException(e); // it was possible before
      }
    }
  }
}
