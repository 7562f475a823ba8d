// Told by a test that the script was loaded.
window.fakeTopScript = true;
