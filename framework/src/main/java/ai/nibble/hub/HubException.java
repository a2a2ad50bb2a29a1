package ai.nibble.hub;

import java.io.IOException;

/** What a server answered, where trying again may help. */
final class HubException extends IOException {
  private static final long serialVersionUID = 1;

  private final long waitSeconds;

  /**
   * @param waitSeconds that the server asks for before the next attempt; 0: none
   */
  HubException(String message, long waitSeconds) {
    super(message);
    this.waitSeconds = waitSeconds;
  }

  long waitSeconds() {
    return waitSeconds;
  }
}
