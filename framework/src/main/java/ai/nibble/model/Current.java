package ai.nibble.model;

import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * What is made of one tensor before it can be read, kept until another tensor is asked for: readers
 * go through a model tensor by tensor. Safe for several threads.
 *
 * @param <T> closed when replaced
 */
public final class Current<T extends AutoCloseable> implements AutoCloseable {
  private final Function<String, T> prepare;
  private final ReadWriteLock lock = new ReentrantReadWriteLock();
  private String name;
  private T value;

  public Current(Function<String, T> prepare) {
    this.prepare = prepare;
  }

  /** Hands over what belongs to a tensor; it stays open while the body runs. */
  public void use(String wanted, Consumer<? super T> body) {
    lock.readLock().lock();
    try {
      if (!wanted.equals(name)) {
        lock.readLock().unlock();
        exchange(wanted); // holds the read lock again
      }
      body.accept(value);
    } finally {
      lock.readLock().unlock();
    }
  }

  private void exchange(String wanted) {
    lock.writeLock().lock();
    try {
      if (!wanted.equals(name)) {
        drop();
        value = prepare.apply(wanted);
        name = wanted;
      }
    } finally {
      lock.readLock().lock();
      lock.writeLock().unlock();
    }
  }

  private void drop() {
    T old = value;
    value = null;
    name = null;
    if (old != null) {
      try {
        old.close();
      } catch (Exception e) {
        throw new IllegalStateException("closing failed", e);
      }
    }
  }

  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      drop();
    } finally {
      lock.writeLock().unlock();
    }
  }
}
