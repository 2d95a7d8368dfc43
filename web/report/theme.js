// Light, dark or what the system prefers; "#theme=dark" in the address decides first.
const theme = (() => {
  const KEY = 'quantlane-theme';

  function stored() {
    const fromAddress = /theme=(light|dark|auto)/.exec(window.location.hash);
    if (fromAddress) return fromAddress[1];
    try {
      return window.localStorage.getItem(KEY) || 'auto';
    } catch {
      return 'auto';  // storage is forbidden, for instance in a sandboxed frame
    }
  }

  function apply(choice) {
    if (choice === 'auto') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.setAttribute('data-theme', choice);
    try {
      window.localStorage.setItem(KEY, choice);
    } catch {
      return;  // the choice lasts as long as the page
    }
  }

  function toggle() {
    const choice = stored();
    apply(choice);
    return dom.choices('colour theme', [['auto', 'Auto'], ['light', 'Light'], ['dark', 'Dark']],
                       choice, apply);
  }

  return {toggle};
})();
